//! The OpenAPI document: generated from the handlers, completed with what is true of all of them.

use utoipa::{
    OpenApi, PartialSchema as _, ToSchema as _,
    openapi::{
        self, Content, Ref, RefOr, Response, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{access, dto::ProblemDocument, problem::Code};

const SCHEME: &str = "token";
const PROBLEM: &str = "application/problem+json";

/// What every operation below `/v1` may answer.
const REFUSED: &[(&str, &str)] = &[
    ("400", "`invalid-query`, `invalid-path`"),
    (
        "401",
        "`unauthorized`, `token-expired`, `token-revoked`; with `WWW-Authenticate`",
    ),
    ("403", "`scope-missing`: says which scope is needed"),
    (
        "500",
        "`internal`; the header `x-request-id` leads to the host's log",
    ),
    ("503", "`overloaded`, `store-unavailable`; with `Retry-After`"),
];

/// What every operation with a body may answer beside that.
const REFUSED_BODIES: &[(&str, &str)] = &[
    ("408", "`body-timeout`"),
    ("413", "`body-too-large`"),
    ("415", "`unsupported-media-type`"),
    ("422", "`invalid-request`"),
];

#[derive(OpenApi)]
#[openapi(
    info(title = "Arcadia", description = "A durable saga engine whose steps are WebAssembly components."),
    tags(
        (name = "components", description = "The code of steps."),
        (name = "steps", description = "Steps by name, and the channels that decide what new sagas run."),
        (name = "definitions", description = "Named, versioned recipes."),
        (name = "sagas", description = "Runs of a plan: start, watch, cancel, retry, abandon."),
        (name = "droplets", description = "Short ways to the definitions that come with the binary."),
        (name = "inventory", description = "What is in the cloud because of us, and what it should be."),
        (name = "findings", description = "What needs a person."),
        (name = "hosts", description = "The processes that work on the database."),
        (name = "services", description = "What steps may call: whose account it is, and whether it is paused."),
        (name = "tokens", description = "Who may ask for how much: `read`, `run`, `operate` and `admin`, each including those before it."),
        (name = "health", description = "Open to everybody."),
    ),
)]
struct Frame;

/// What the handlers' own documents are added to.
pub(super) fn frame() -> openapi::OpenApi {
    Frame::openapi()
}

/// Every error answer carries a problem document, and everything below `/v1` needs a token: said once, here.
pub(super) fn complete(mut document: openapi::OpenApi) -> openapi::OpenApi {
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(description());
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(ProblemDocument::name().into_owned(), ProblemDocument::schema())];
    ProblemDocument::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token. The first start writes one with the scope `admin` into the data folder; it makes others. Operations name the scope that they need.",
        ))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(token));
    for (path, item) in &mut document.paths.paths {
        let closed = path.starts_with("/v1/");
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            if closed {
                let scope = access::needed(method, path).as_str();
                operation.security = Some(vec![SecurityRequirement::new(SCHEME, [scope])]);
                let told = operation.description.take();
                let told = told.map_or_else(String::new, |told| format!("{told}\n\n"));
                operation.description = Some(format!("{told}Needs a token with the scope `{scope}`."));
                let with_body = operation.request_body.as_ref().map(|_| REFUSED_BODIES);
                for (status, description) in REFUSED.iter().chain(with_body.into_iter().flatten()) {
                    let response = ResponseBuilder::new().description(*description).build();
                    let responses = &mut operation.responses.responses;
                    responses
                        .entry((*status).to_owned())
                        .or_insert(RefOr::T(response));
                }
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && status.starts_with(['4', '5'])
                {
                    carry_problem(response);
                }
            }
        }
    }
    document
}

fn carry_problem(response: &mut Response) {
    let schema = Ref::from_schema_name(ProblemDocument::name());
    response
        .content
        .insert(PROBLEM.to_owned(), RefOr::T(Content::new(Some(schema))));
}

fn description() -> String {
    let mut text = String::from(
        "A durable saga engine whose steps are WebAssembly components.\n\n\
         Limits: JSON bodies 256 KiB (a batch 8 MiB), 256 open streams, components 64 MiB, 64 steps a saga, pages of 200 items, waits of 60 s, keys and \
         names 255 characters. JSON bodies have no duplicate keys, no unknown fields and no U+0000. Over 1,024 requests \
         at once are told to come back: 503 with `Retry-After`.\n\n\
         Every answer that is not a success is a problem document (RFC 9457) with one of these codes:\n\n\
         | code | status | |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let (status, name, title) = code.row();
        text.push_str(&format!("| `{name}` | {status} | {title} |\n"));
    }
    text
}
