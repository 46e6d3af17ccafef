//! What a manifest says of RADIUS: who is asked, who is told, who may change sessions.

use lns_radius::config::{Config, Server};
use lns_radius::dynamic::Client;
use serde_json::{Value, json};

use crate::command::table::{at, render, text};
use crate::config::RadiusSetup;
use crate::radius::journal::label;

/// Two tables, each only if there is anything in it.
pub(super) fn planned(setup: &RadiusSetup) -> String {
    let configs = setup.authentication.iter().chain(&setup.accounting);
    let rows: Vec<Value> = configs.chain(&setup.copies).flat_map(servers).collect();
    let servers = [
        text("RADIUS SERVER", |server| at(server, &["name"])),
        text("FOR", |server| at(server, &["purpose"])),
        text("ADDRESS", |server| at(server, &["address"])),
        text("TRANSPORT", |server| at(server, &["transport"])),
        text("REALMS", |server| at(server, &["realms"])),
    ];
    let mut out = String::new();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&render(&servers, &rows, false));
    }
    let clients = setup.dynamic.iter().flat_map(|(_, config)| &config.clients);
    let rows: Vec<Value> = clients.map(client).collect();
    let clients = [
        text("MAY CHANGE SESSIONS", |client| at(client, &["name"])),
        text("FROM", |client| at(client, &["from"])),
    ];
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&render(&clients, &rows, false));
    }
    out
}

fn servers(config: &Config) -> Vec<Value> {
    let purpose = label(config.purpose);
    let row = |server: &Server| {
        let realms: Vec<&str> = server.realms.iter().map(AsRef::as_ref).collect();
        json!({
            "name": *server.name,
            "purpose": purpose,
            "address": server.address.to_string(),
            "transport": server.transport.label(),
            "realms": if realms.is_empty() { "all others".to_owned() } else { realms.join(" ") },
        })
    };
    config.servers.iter().map(row).collect()
}

fn client(client: &Client) -> Value {
    let from: Vec<_> = client.from.iter().map(ToString::to_string).collect();
    json!({ "name": *client.name, "from": from.join(" ") })
}
