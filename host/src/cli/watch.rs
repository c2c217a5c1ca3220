//! Following one saga to its end: lines that move on a terminal, plain lines in a pipe, or one JSON document per change.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    client::{Client, Look},
    failure::CliError,
    output,
    picture::{Picture, Told},
};
use crate::{
    api::dto::{Page, Saga, SagaStep},
    saga::{Phase, SagaId},
};

/// A server that restarts is waited for: the saga goes on when it is back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks, so that a saga with many quick changes is not looked at for each of them.
const BREATH: Duration = Duration::from_millis(40);

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

/// Looks at the saga until it rests, or until `timeout` is over; answers the last picture.
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
    let path = format!("/v1/sagas/{saga}");
    let mut etag = None;
    let mut picture: Option<Picture> = None;
    let mut unreachable_since: Option<Instant> = None;
    loop {
        let look = client.look::<Saga>(&path, etag.as_ref());
        let looked = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), look).await,
            None => Ok(look.await),
        };
        match (looked, &mut picture) {
            (Err(_), Some(picture)) => return Ok(picture.clone()),
            (Err(_), None) => return Err(CliError::failed("the server didn't answer in the given time")),
            (Ok(Err(CliError::Unreachable { .. })), Some(_))
                if unreachable_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            (Ok(Err(error)), _) => return Err(error),
            (Ok(Ok(Look::Same)), _) => {}
            (Ok(Ok(Look::Changed { body, etag: newer })), picture) => {
                let steps: Page<SagaStep> = client
                    .get(&body.links.steps, &[("limit", "200".to_owned())])
                    .await?;
                etag = newer;
                let newest = Picture {
                    saga: body,
                    steps: steps.items,
                };
                show.update(&newest)?;
                let rests = newest.rests();
                *picture = Some(newest.clone());
                if rests {
                    return Ok(newest);
                }
            }
        }
        unreachable_since = None;
        tokio::time::sleep(BREATH).await;
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
        "cut off" => ("✂ ", "  {prefix:.yellow}  {wide_msg}"),
        _ => ("", "  {spinner:.cyan} {prefix:.cyan}  {wide_msg}"),
    }
}
