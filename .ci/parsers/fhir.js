// Whether the npm package fhir takes a document of R4.
const { Fhir } = require('fhir');
const document = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));
const verdict = new Fhir().validate(document, { errorOnUnexpected: true });
const errors = verdict.messages.filter((message) => ['error', 'fatal'].includes(String(message.severity).toLowerCase()));
errors.forEach((message) => console.error(`${message.location}: ${message.message}`));
process.exit(errors.length > 0 ? 1 : 0);
