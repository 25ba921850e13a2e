//! Answers to the lines of a file, computed on every core and printed in order.

use super::Answer;
use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Number of bytes read at a time. A block grows beyond it only for a longer line.
const BLOCK: usize = 1 << 18;

/// The reason why a file could not be processed.
pub(super) enum Trouble {
    /// The file cannot be read; the next one may be readable.
    Input(io::Error),
    /// The output is closed or broken.
    Output(io::Error),
}

/// The answers to the lines of one block.
struct Answers {
    text: String,
    /// The lines for standard error.
    notes: String,
    lines: u64,
    faulty: u64,
    bytes: usize,
}

/// Answers each line of `input`, and returns whether some line has an error. A few blocks are held at a time, so that a
/// file needs no more memory than its longest lines.
///
/// Block n goes to worker n modulo their number, and the answers are collected in the same order.
pub(super) fn answer_lines(
    input: impl Read + Send,
    out: &mut impl Write,
    answer: impl Fn(&[u8]) -> Answer + Sync,
) -> Result<bool, Trouble> {
    let workers = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(1, 16));
    let answer = &answer;
    thread::scope(|scope| {
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (send_block, blocks) = sync_channel::<Vec<u8>>(1);
            let (send_answers, answers) = sync_channel::<Answers>(1);
            scope.spawn(move || {
                for block in blocks {
                    if send_answers.send(answer_block(&block, answer)).is_err() {
                        return;
                    }
                }
            });
            to.push(send_block);
            from.push(answers);
        }
        let reader = scope.spawn(move || read_blocks(input, &to));
        let faulty = print_answers(&from, out).map_err(Trouble::Output);
        if let Err(trouble) = faulty {
            // The reader may wait for a writer that never comes; nothing is left to print.
            super::stop(trouble);
        }
        drop(from);
        match reader.join() {
            Ok(Err(error)) => Err(Trouble::Input(error)),
            Ok(Ok(())) => faulty,
            Err(_) => Err(Trouble::Input(io::Error::other("the reader broke off"))),
        }
    })
}

/// Reads blocks of whole lines, and passes each on as soon as the input pauses.
fn read_blocks(mut input: impl Read, to: &[SyncSender<Vec<u8>>]) -> io::Result<()> {
    let mut workers = to.iter().cycle();
    let mut block = Vec::new();
    loop {
        let held = block.len();
        block.resize(held + BLOCK, 0);
        let room = block.get_mut(held..).unwrap_or_default();
        let count = loop {
            match input.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        let ended = count == 0;
        block.truncate(held + count);
        let whole = match block.iter().skip(held).rposition(|byte| *byte == b'\n') {
            _ if ended => block.len(),
            Some(last) => held + last + 1,
            None => continue,
        };
        let rest = block.split_off(whole);
        let lines = std::mem::replace(&mut block, rest);
        let sent = workers.next().map(|worker| worker.send(lines));
        if ended || !matches!(sent, Some(Ok(()))) {
            return Ok(());
        }
    }
}

fn answer_block(block: &[u8], answer: &impl Fn(&[u8]) -> Answer) -> Answers {
    let mut answers = Answers {
        text: String::with_capacity(block.len() / 2),
        notes: String::new(),
        lines: 0,
        faulty: 0,
        bytes: block.len(),
    };
    for line in block.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let one = answer(line);
        answers.text.push_str(&one.line);
        answers.text.push('\n');
        if let Some(note) = one.note {
            answers.notes.push_str(&note);
            answers.notes.push('\n');
        }
        answers.lines += 1;
        answers.faulty += u64::from(one.faulty);
    }
    answers
}

fn print_answers(from: &[Receiver<Answers>], out: &mut impl Write) -> io::Result<bool> {
    let mut progress = Progress::new();
    for worker in from.iter().cycle() {
        let answers = match worker.try_recv() {
            Ok(answers) => answers,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // The next block may wait for its writer, which may wait for our answer.
                out.flush()?;
                let Ok(answers) = worker.recv() else { break };
                answers
            }
        };
        out.write_all(answers.text.as_bytes())?;
        // If standard error is closed, the documents are printed all the same.
        let _ = io::stderr().write_all(answers.notes.as_bytes());
        progress.note(&answers);
    }
    progress.end();
    Ok(progress.faulty > 0)
}

/// Shows the progress of a long run on standard error, if that is a terminal.
struct Progress {
    shown: Option<Instant>,
    start: Instant,
    lines: u64,
    faulty: u64,
    bytes: usize,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(500);

    fn new() -> Self {
        let start = Instant::now();
        let shown = (io::stderr().is_terminal() && !io::stdout().is_terminal()).then_some(start);
        Self { shown, start, lines: 0, faulty: 0, bytes: 0 }
    }

    fn note(&mut self, answers: &Answers) {
        self.lines += answers.lines;
        self.faulty += answers.faulty;
        self.bytes += answers.bytes;
        if self.shown.is_some_and(|shown| shown.elapsed() >= Self::EVERY) {
            self.shown = Some(Instant::now());
            let megabytes = self.bytes / 1_000_000;
            let seconds = self.start.elapsed().as_secs_f64();
            let speed = self.bytes as f64 / 1e6 / seconds;
            let (lines, faulty) = (self.lines, self.faulty);
            let told = format!("\r{megabytes} MB, {lines} documents, {faulty} with errors, {speed:.0} MB/s   ");
            let _ = io::stderr().write_all(told.as_bytes());
        }
    }

    fn end(&self) {
        if self.shown.is_some_and(|shown| shown > self.start) {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
