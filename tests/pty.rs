//! The real binary on a pseudo-terminal: what it draws appears, and however it ends the terminal is as it was.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; patience with a process is measured on a real clock"
)]
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// For a machine that compiles beside the tests.
const PATIENCE: Duration = Duration::from_secs(20);

struct Terminal {
    screen: vt100::Parser,
    output: Receiver<Vec<u8>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let (rows, cols) = (24, 80);
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(arguments);
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(cells(rows), cells(cols), 0);
        Self { screen, output, keys, child, master: pair.master }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen shows `text`.
    fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.contents().contains(text));
    }

    fn wait_until(&mut self, what: &str, reached: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self.screen.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(error) => {
                    panic!("{error}: waited for {what}; the screen shows\n{}", self.text())
                }
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Sends a signal by its name, as a shell would.
    fn signal(&self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for the end; the exit code. Fails unless the terminal is as it was.
    fn end(mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end; the screen shows\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(20));
        };
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        drop(self.master);
        status.exit_code()
    }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

fn home() -> Terminal {
    let mut terminal = Terminal::start(&[]);
    terminal.wait_for("highwater");
    terminal.wait_for("Delivery");
    assert!(terminal.screen.screen().alternate_screen());
    terminal
}

#[test]
fn home_appears_and_q_restores_the_terminal() {
    let mut terminal = home();
    terminal.press("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn ctrl_c_restores_the_terminal_and_is_130() {
    let mut terminal = home();
    terminal.press("\u{3}");
    assert_eq!(terminal.end(), 130);
}

#[test]
fn signals_restore_the_terminal() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129), ("-INT", 130)] {
        let terminal = home();
        terminal.signal(signal);
        assert_eq!(terminal.end(), code, "{signal}");
    }
}

#[test]
fn play_shows_the_stage_and_steps() {
    let mut terminal =
        Terminal::start(&["play", "acks-ladder", "--variant", "acks=1", "--no-animation"]);
    terminal.wait_for("acks-ladder");
    terminal.wait_for("told");
    for broker in ["b1", "b2", "b3"] {
        terminal.wait_for(broker);
    }
    // To the end: the loss is on the screen.
    terminal.press("G");
    terminal.wait_for("LOST");
    terminal.press("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_terminal_that_is_resized_is_drawn_anew() {
    let mut terminal = home();
    let size = PtySize { rows: 12, cols: 40, pixel_width: 0, pixel_height: 0 };
    terminal.master.resize(size).unwrap();
    terminal.screen.screen_mut().set_size(cells(12), cells(40));
    terminal
        .wait_until("something on the small screen", |screen| screen.contents().trim().len() > 10);
    terminal.press("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn plain_stays_out_of_the_alternate_screen() {
    let terminal = Terminal::start(&["--plain"]);
    assert_eq!(terminal.end(), 0);
}
