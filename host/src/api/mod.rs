//! The HTTP API: what people and programs ask of the engine, as JSON over HTTP/1.1 below `/v1`.

pub mod dto;
