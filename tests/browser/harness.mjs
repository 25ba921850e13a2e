// A browser whose pages are watched, and what holds of each page: for the flows of this folder.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const sizes = { desk: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };

// axe-core is run by `eval`, which the policy of the pages forbids: it is switched off for these contexts alone.
export const audited = { bypassCSP: true };

export const tell = (words) => console.log(`${words} passes`);

// A browser at EXECUTABLE; the pages of `base` may ask it and nobody else. What pages of others do is theirs. Pictures go to a folder.
export async function start(executablePath, base, pictures) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

  // A page of its own, which asks no other host and has no fault of a script.
  async function open(size, options = {}) {
    const context = await browser.newContext({ viewport: sizes[size], ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const wrong = [];
    page.on('pageerror', (error) => wrong.push(String(error)));
    page.on('console', (message) => {
      if (page.url().startsWith(base) && message.type() === 'error' && !/status of [45]\d\d/.test(message.text())) wrong.push(message.text());
    });
    page.on('request', (request) => {
      const ours = page.url().startsWith(base) && !request.isNavigationRequest();
      if (ours && !request.url().startsWith(base) && !request.url().startsWith('blob:')) wrong.push('asks ' + request.url());
    });
    return { page, context, close: async () => { assert.deepEqual(wrong, []); await context.close(); } };
  }

  // What holds of each page: axe-core finds nothing, nothing is wider than the screen, and what is touched is large enough.
  async function check(page, name) {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name} scrolls sideways by ${wide} pixels`);
    const result = await page.evaluate(async (source) => { (0, eval)(source); return window.axe.run(); }, axe);
    const found = result.violations.map((violation) => [violation.id, violation.nodes.map((node) => node.html).slice(0, 3)]);
    assert.deepEqual(found, [], `${name}: axe-core`);
    const small = await page.evaluate(() => {
      if (innerWidth > 700) return [];
      const touched = [...document.querySelectorAll('a[href], button, input:not([type=hidden]):not([type=radio]):not([type=checkbox]), select, summary, label.check')];
      return touched.filter((one) => {
        const box = one.getBoundingClientRect();
        const inText = one.tagName === 'A' && getComputedStyle(one).display === 'inline';
        return !inText && box.width > 0 && box.height > 0 && box.height < 44 && !one.matches('.skip');
      }).map((one) => one.outerHTML.slice(0, 120));
    });
    assert.deepEqual(small, [], `${name}: what is touched is 44 pixels high`);
    await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
  }

  return { open, check, end: () => browser.close() };
}
