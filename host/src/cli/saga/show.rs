//! `arcadia saga show`

use crate::{
    api::dto::{Page, Saga, SagaStep},
    cli::{
        client::Client,
        exit::Exit,
        failure::CliError,
        output::{self, or_dash},
        picture::Picture,
    },
    saga::{Phase, SagaId},
};

pub async fn run(client: &Client, id: SagaId, json: bool) -> Result<Exit, CliError> {
    let saga: Saga = client.get(&format!("/v1/sagas/{id}"), &[]).await?;
    let steps: Page<SagaStep> = client
        .get(&saga.links.steps, &[("limit", "200".to_owned())])
        .await?;
    let picture = Picture {
        saga,
        steps: steps.items,
    };
    if json {
        output::json(&picture)?;
        return Ok(Exit::Success);
    }
    let saga = &picture.saga;
    let definition = saga
        .definition
        .as_ref()
        .map(|definition| format!("{} v{}", definition.name, definition.version));
    let mut facts = vec![
        ("id", saga.id.to_string()),
        ("kind", saga.kind.as_str().to_owned()),
        ("definition", or_dash(definition)),
        ("status", saga.status.as_str().to_owned()),
        ("paused", or_dash(picture.paused())),
        ("deployment", or_dash(saga.deployment_id.as_ref())),
        ("triggered by", saga.triggered_by.clone()),
        ("created", saga.created_at.to_string()),
        ("ended", or_dash(saga.ended_at)),
        ("inputs", saga.inputs.as_str().to_owned()),
    ];
    if let Some(until) = saga.watched_until {
        let why = format!("for what requests in doubt may have made (`arcadia findings --saga {id}`)");
        facts.push(("watched until", format!("{until}, {why}")));
    }
    output::facts(facts)?;
    output::line("")?;
    let told = picture.told();
    let rows = told
        .into_iter()
        .map(|told| {
            let direction = match told.phase {
                Phase::Run => "run",
                Phase::Compensate => "undo",
            };
            let component = picture
                .steps
                .iter()
                .find(|step| step.name == told.step)
                .map(|step| format!("{}@{}", step.component.name, step.component.version));
            vec![
                told.step,
                or_dash(component),
                direction.to_owned(),
                told.state.to_owned(),
                told.detail,
            ]
        })
        .collect();
    output::table(
        &["step", "component", "phase", "state", "detail"],
        rows,
        "no step has begun",
    )?;
    output::line("")?;
    output::line(&picture.ending())?;
    Ok(Exit::Success)
}
