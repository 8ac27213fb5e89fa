//! The terminal while a screen is up: raw mode and the alternate screen, left again however the program ends: on
//! return, on an error, on a panic, and on SIGINT, SIGTERM and SIGHUP, which are seen as flags. Ctrl-Z puts the
//! terminal back before the process stops and takes it again afterwards.

use std::io::{self, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::cursor;
use crossterm::event::{self, DisableMouseCapture, EnableMouseCapture, Event};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::tui::keymap::Key;
use crate::tui::model::End;
use crate::tui::player::{FRAME, Ticker};

/// How long a wait for keys lasts at most before signals are looked at.
const POLL: Duration = Duration::from_millis(50);

/// True while the terminal is ours, so that a panic leaves it once and only then.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the loop asks of a screen.
pub trait Show {
    /// Draws everything.
    fn draw(&self, frame: &mut ratatui::Frame<'_>);
    /// A key was pressed.
    fn key(&mut self, key: Key);
    /// The mouse did something.
    fn mouse(&mut self, event: event::MouseEvent);
    /// `frames` of 33 ms went by. True when there is something new to draw.
    fn tick(&mut self, frames: f64) -> bool;
    /// True while something moves, so that the next frame is waited for and no longer.
    fn is_moving(&self) -> bool;
    /// Takes what the screen wants of the terminal.
    fn take_request(&mut self) -> Option<Request>;
}

/// What a screen may want of the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The end.
    Leave(End),
    /// Stop the process, as Ctrl-Z does.
    Suspend,
    /// Draw every cell again.
    Redraw,
}

/// Runs `screen` on the terminal until it is left.
///
/// # Errors
/// When the terminal cannot be taken, drawn to or read from; it is given back first.
pub fn run(screen: &mut impl Show, mouse: bool) -> io::Result<End> {
    let signals = Signals::catch()?;
    let mut guard = Guard::take(mouse)?;
    let end = guard.run(screen, &signals);
    drop(guard);
    end
}

struct Signals {
    list: [(Arc<AtomicBool>, End); 3],
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let list = [End::Interrupt, End::Terminate, End::HangUp]
            .map(|end| (Arc::new(AtomicBool::new(false)), end));
        let mut ids = Vec::new();
        for (signal, (flag, _)) in [SIGINT, SIGTERM, SIGHUP].into_iter().zip(&list) {
            ids.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
        }
        Ok(Self { list, ids })
    }

    fn seen(&self) -> Option<End> {
        self.list.iter().find(|(flag, _)| flag.load(Ordering::Relaxed)).map(|(_, end)| *end)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Holds the terminal; dropping it gives it back.
struct Guard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Guard {
    fn take(mouse: bool) -> io::Result<Self> {
        // Under NO_COLOR crossterm 0.29 writes a full reset that also takes bold and reverse away. The mono theme
        // is our NO_COLOR.
        crossterm::style::force_color_output(true);
        restore_on_panic();
        enter(mouse)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        match terminal {
            Ok(terminal) => Ok(Self { terminal, mouse }),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    fn run(&mut self, screen: &mut impl Show, signals: &Signals) -> io::Result<End> {
        let mut ticker = Ticker::start();
        let mut dirty = true;
        loop {
            if let Some(end) = signals.seen() {
                return Ok(end);
            }
            if dirty {
                self.terminal.draw(|frame| screen.draw(frame))?;
                dirty = false;
            }
            let wait = if screen.is_moving() { FRAME / 2 } else { POLL };
            if !wait_for_input(wait)? {
                return Ok(End::HangUp);
            }
            if event::poll(Duration::ZERO)? {
                // All that is waiting is taken before the next drawing: frames are dropped, never keys.
                dirty |= take_input(screen)?;
                while event::poll(Duration::ZERO)? {
                    dirty |= take_input(screen)?;
                }
            }
            let frames = ticker.frames();
            if frames > 0.0 {
                dirty |= screen.tick(frames);
            }
            match screen.take_request() {
                Some(Request::Leave(end)) => return Ok(end),
                Some(Request::Suspend) => {
                    self.suspend()?;
                    dirty = true;
                }
                Some(Request::Redraw) => {
                    self.terminal.clear()?;
                    dirty = true;
                }
                None => {}
            }
        }
    }

    fn suspend(&mut self) -> io::Result<()> {
        leave();
        #[cfg(unix)]
        signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)?;
        enter(self.mouse)?;
        self.terminal.clear()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

/// Hands one event to the screen; true when something may have changed.
fn take_input(screen: &mut impl Show) -> io::Result<bool> {
    match event::read()? {
        Event::Key(event) => {
            let Some(key) = Key::of(event) else { return Ok(false) };
            screen.key(key);
            Ok(true)
        }
        Event::Mouse(event) => {
            let moved = matches!(event.kind, event::MouseEventKind::Moved);
            if !moved {
                screen.mouse(event);
            }
            Ok(!moved)
        }
        Event::Resize(..) => Ok(true),
        _ => Ok(false),
    }
}

/// Waits for something to read, at most so long. False when the terminal is gone: crossterm 0.29 would then read its
/// end of file over and over and never return.
#[cfg(unix)]
fn wait_for_input(wait: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut input = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut input, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {
            Ok(!input[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn wait_for_input(wait: Duration) -> io::Result<bool> {
    event::poll(wait).map(|_| true)
}

fn enter(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    let entered = execute!(out, EnterAlternateScreen, cursor::Hide)
        .and_then(|()| if mouse { execute!(out, EnableMouseCapture) } else { Ok(()) });
    if entered.is_err() {
        leave();
    }
    entered
}

/// Gives the terminal back, if it is ours. Errors are passed over: there is nobody left to tell.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(out, DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// Puts a hook before the present one that gives the terminal back, so that the message of a panic can be read.
fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            before(info);
        }));
    });
}
