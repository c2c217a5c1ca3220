//! Integration tests: one binary, a module per topic.

#![cfg(test)]

mod api_catalog;
mod api_document;
mod api_inventory;
mod api_random;
mod api_refusal_table;
mod api_refusals;
mod api_sagas;
mod api_server;
mod api_tokens;
mod catalog;
mod catalog_built_in;
mod cli_binary;
mod cli_demo;
mod cli_help;
mod cli_saga;
mod cli_server;
mod cli_token;
mod cloud_bench;
mod cloud_once;
mod cloud_secrets;
mod cloud_wire;
mod components_lock;
mod crash;
mod droplet_faults;
mod droplets;
mod engine;
mod faults;
mod graphs;
mod live;
mod loopback;
mod rate_budget;
mod saga_core;
mod simulator;
mod simulator_faults;
mod simulator_holds;
mod simulator_openapi;
mod simulator_world_faults;
mod step_components;
mod step_guest;
mod step_languages;
mod step_sandbox;
mod step_upload;
mod store;
mod support;
