//! The adapter of rskafka, which has no consumer groups: the lines of ../PROTOCOL.md.
mod records;
mod topics;

use rskafka::client::{Client, ClientBuilder};
use serde_json::{Value, json};
use std::io::{self, BufRead, Write};

/// Why a request has no good answer.
pub enum No {
    Unsupported(&'static str),
    Failed(String),
}

impl<E: std::error::Error> From<E> for No {
    fn from(error: E) -> Self {
        No::Failed(error.to_string())
    }
}

pub type Answer = Result<Value, No>;

const GROUPS: &str = "rskafka has no consumer groups";
const CONFIGS: &str = "rskafka has no requests for configurations";

/// A text of the request; empty where it has none.
pub fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_default()
}

pub fn number(request: &Value, name: &str) -> i64 {
    request[name].as_i64().unwrap_or_default()
}

/// The version of the library that this program was built with.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("name = \"rskafka\"\nversion = \"").nth(1);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}

async fn answer(client: &Client, request: &Value) -> Answer {
    match text(request, "do") {
        "hello" => Ok(json!({"client": "rskafka", "version": version()})),
        "produce" => records::produce(client, request).await,
        "read" => records::read(client, request).await,
        "offset" => records::offset(client, request).await,
        "delete_records" => records::delete(client, request).await,
        "create_topic" => topics::create(client, request).await,
        "describe_topic" => topics::describe(client, request).await,
        "list_topics" => topics::list(client).await,
        "delete_topic" => topics::delete(client, request).await,
        "create_partitions" => Err(No::Unsupported("rskafka has no request to create partitions")),
        "alter_config" | "describe_config" => Err(No::Unsupported(CONFIGS)),
        "join" | "commit" | "committed" | "leave" => Err(No::Unsupported(GROUPS)),
        "list_groups" | "describe_group" | "delete_group" => Err(No::Unsupported(GROUPS)),
        "delete_group_offsets" => Err(No::Unsupported(GROUPS)),
        "txn_open" | "transform" => Err(No::Unsupported("rskafka has no transactions")),
        "quit" => Ok(json!({})),
        _ => Err(No::Failed("the adapter does not know this word".into())),
    }
}

fn line(id: &Value, answer: Answer) -> Value {
    match answer {
        Ok(mut fields) => {
            fields["id"] = id.clone();
            fields["ok"] = true.into();
            fields
        }
        Err(No::Unsupported(why)) => json!({"id": id, "unsupported": why}),
        Err(No::Failed(why)) => json!({"id": id, "error": why}),
    }
}

/// Answers requests until quit, or until the input ends: then everything is dropped at once.
async fn serve(address: String) -> Result<(), Box<dyn std::error::Error>> {
    let client = ClientBuilder::new(vec![address]).build().await?;
    for input in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&input?)?;
        let said = line(&request["id"], answer(&client, &request).await);
        writeln!(io::stdout(), "{said}")?;
        if request["do"] == "quit" {
            return Ok(());
        }
    }
    Err("the input has ended".into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: rskafka-adapter <bootstrap address>")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(address))
}
