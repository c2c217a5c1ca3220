//! Following one saga to its end: lines that move on a terminal, plain lines in a pipe, or one JSON document per change.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    client::Client,
    failure::CliError,
    messages::Messages,
    output,
    picture::{Picture, Told},
};
use crate::{
    api::dto::SagaChange,
    saga::{Phase, SagaId},
};

/// A server that restarts is waited for: the saga goes on when it is back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to reach a server that went away.
const AGAIN: Duration = Duration::from_millis(500);

/// Where progress is shown.
pub enum Show {
    Json,
    Nothing,
    Lines(Lines),
    Live(Live),
}

impl Show {
    /// What suits standard output, unless JSON was asked for.
    pub fn fitting(json: bool) -> Show {
        if json {
            Show::Json
        } else if io::stdout().is_terminal() {
            Show::Live(Live::new())
        } else {
            Show::Lines(Lines::default())
        }
    }

    fn update(&mut self, picture: &Picture) -> Result<(), CliError> {
        match self {
            Show::Json => output::json_line(picture),
            Show::Nothing => Ok(()),
            Show::Lines(lines) => lines.update(picture),
            Show::Live(live) => {
                live.update(picture);
                Ok(())
            }
        }
    }

    /// Leaves the cursor below what was shown.
    fn end(&self) -> Result<(), CliError> {
        match self {
            Show::Json | Show::Nothing | Show::Lines(_) => Ok(()),
            Show::Live(live) => {
                for bar in live.bars.values().filter(|bar| !bar.is_finished()) {
                    bar.abandon();
                }
                output::line("")
            }
        }
    }
}

/// Follows the saga until it rests, or until `timeout` is over; answers the last picture.
pub async fn follow(
    client: &Client,
    saga: SagaId,
    mut show: Show,
    timeout: Option<Duration>,
) -> Result<Picture, CliError> {
    let followed = look_on(client, saga, &mut show, timeout).await;
    show.end()?;
    followed
}

async fn look_on(
    client: &Client,
    saga: SagaId,
    show: &mut Show,
    timeout: Option<Duration>,
) -> Result<Picture, CliError> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut follower = Follower::new(client, saga);
    let mut picture: Option<Picture> = None;
    loop {
        let next = follower.next();
        let next = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), next).await,
            None => Ok(next.await),
        };
        match (next, picture) {
            (Ok(newest), _) => {
                let newest = newest?;
                show.update(&newest)?;
                if newest.rests() {
                    return Ok(newest);
                }
                picture = Some(newest);
            }
            (Err(_), Some(picture)) => return Ok(picture),
            (Err(_), None) => return Err(CliError::failed("the server didn't answer in the given time")),
        }
    }
}

/// Reads a saga's stream, and opens it again where it was when it breaks off.
struct Follower<'a> {
    client: &'a Client,
    path: String,
    messages: Option<Messages>,
    /// Id of the last message.
    last: Option<String>,
    lost_since: Option<Instant>,
}

impl<'a> Follower<'a> {
    fn new(client: &'a Client, saga: SagaId) -> Follower<'a> {
        Follower {
            client,
            path: format!("/v1/sagas/{saga}/stream"),
            messages: None,
            last: None,
            lost_since: None,
        }
    }

    /// A server that can't be reached at all is an error; one that goes away is waited for.
    async fn next(&mut self) -> Result<Picture, CliError> {
        loop {
            let Some(messages) = &mut self.messages else {
                self.open().await?;
                continue;
            };
            match messages.next().await {
                Ok(Some(message)) => {
                    let change: SagaChange =
                        serde_json::from_str(&message.data).map_err(|error| CliError::Strange {
                            url: self.path.clone(),
                            reason: error.to_string(),
                        })?;
                    self.last = message.id.or(self.last.take());
                    self.lost_since = None;
                    return Ok(Picture {
                        saga: change.saga,
                        steps: change.steps,
                    });
                }
                // The server ended, or the way to it broke: opening it again tells which.
                Ok(None) | Err(_) => {
                    self.messages = None;
                    self.lost_since.get_or_insert_with(Instant::now);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn open(&mut self) -> Result<(), CliError> {
        match self.client.stream(&self.path, self.last.as_deref()).await {
            Ok(messages @ Some(_)) => self.messages = messages,
            // It ended, and its end was told to nobody: from the beginning.
            Ok(None) => self.last = None,
            Err(error) => {
                let patient = self.lost_since.is_some_and(|since| since.elapsed() < PATIENCE);
                if !(patient && error.may_pass()) {
                    return Err(error);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(())
    }
}

/// One line per thing that is new.
pub struct Lines {
    began: Instant,
    shown: HashMap<(String, Phase), Told>,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            began: Instant::now(),
            shown: HashMap::new(),
        }
    }
}

impl Lines {
    fn update(&mut self, picture: &Picture) -> Result<(), CliError> {
        for told in picture.told() {
            let key = (told.step.clone(), told.phase);
            if self.shown.get(&key) == Some(&told) {
                continue;
            }
            let line = format!(
                "{:6.1} s  {:width$}  {:8}  {}",
                self.began.elapsed().as_secs_f64(),
                told.step,
                told.state,
                told.detail,
                width = picture.name_width(),
            );
            output::line(line.trim_end())?;
            self.shown.insert(key, told);
        }
        Ok(())
    }
}

/// One line per phase of a step, which changes in place.
pub struct Live {
    progress: MultiProgress,
    bars: HashMap<(String, Phase), ProgressBar>,
}

impl Live {
    pub fn new() -> Live {
        Live {
            progress: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            bars: HashMap::new(),
        }
    }

    fn update(&mut self, picture: &Picture) {
        let width = picture.name_width();
        for told in picture.told() {
            let bar = self
                .bars
                .entry((told.step.clone(), told.phase))
                .or_insert_with(|| {
                    let bar = self.progress.add(ProgressBar::new_spinner());
                    bar.enable_steady_tick(Duration::from_millis(100));
                    bar
                });
            let (mark, template) = look_of(told.state);
            let style = ProgressStyle::with_template(template).expect("the templates are fixed");
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar.set_prefix(format!("{mark}{:width$}  {:8}", told.step, told.state));
            bar.set_message(told.detail.clone());
            if told.ended {
                bar.finish();
            }
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Live::new()
    }
}

/// The mark before a line, and how the line is drawn.
fn look_of(state: &str) -> (&'static str, &'static str) {
    match state {
        "done" => ("✓ ", "  {prefix:.green}  {wide_msg}"),
        "undone" => ("↩ ", "  {prefix:.green}  {wide_msg}"),
        "FAILED" | "STUCK" => ("✗ ", "  {prefix:.red}  {wide_msg}"),
        "skipped" => ("⤼ ", "  {prefix:.yellow}  {wide_msg}"),
        "cut off" => ("✂ ", "  {prefix:.yellow}  {wide_msg}"),
        _ => ("", "  {spinner:.cyan} {prefix:.cyan}  {wide_msg}"),
    }
}
