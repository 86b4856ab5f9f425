//! Topics, as the client's controller and its list of topics know them.
use crate::{Answer, No, number, text};
use rskafka::client::Client;
use serde_json::{Value, json};

const WAIT_MS: i32 = 30_000;

pub async fn create(client: &Client, request: &Value) -> Answer {
    if request["configs"].as_object().is_some_and(|configs| !configs.is_empty()) {
        return Err(No::Unsupported("rskafka creates topics without configuration"));
    }
    let partitions = i32::try_from(number(request, "partitions"))?;
    client.controller_client()?.create_topic(text(request, "topic"), partitions, 1, WAIT_MS).await?;
    Ok(json!({}))
}

pub async fn describe(client: &Client, request: &Value) -> Answer {
    let topics = client.list_topics().await?;
    let topic = topics.iter().find(|topic| topic.name == text(request, "topic"));
    let topic = topic.ok_or(No::Failed("the topic is not listed".into()))?;
    Ok(json!({"partitions": topic.partitions.len()}))
}

pub async fn list(client: &Client) -> Answer {
    let topics = client.list_topics().await?;
    Ok(json!({"topics": topics.iter().map(|topic| &topic.name).collect::<Vec<_>>()}))
}

pub async fn delete(client: &Client, request: &Value) -> Answer {
    client.controller_client()?.delete_topic(text(request, "topic"), WAIT_MS).await?;
    Ok(json!({}))
}
