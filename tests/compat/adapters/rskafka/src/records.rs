//! Producing, reading, offsets and the deletion of records.
use crate::{Answer, No, number, text};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use rskafka::client::Client;
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::{Record, RecordAndOffset};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const FETCHED_BYTES: i32 = 4 << 20;
const WAIT_MS: i32 = 100;
const DELETE_MS: i32 = 30_000;

async fn partition(client: &Client, request: &Value, number: i64) -> Result<PartitionClient, No> {
    let number = i32::try_from(number)?;
    Ok(client.partition_client(text(request, "topic"), number, UnknownTopicHandling::Error).await?)
}

fn decode(content: &Value) -> Result<Option<Vec<u8>>, No> {
    content.as_str().map(|text| BASE64_STANDARD.decode(text).map_err(No::from)).transpose()
}

fn encode(content: &Option<Vec<u8>>) -> Value {
    content.as_ref().map(|raw| BASE64_STANDARD.encode(raw)).into()
}

fn timestamp(ms: i64) -> Result<DateTime<Utc>, No> {
    DateTime::from_timestamp_millis(ms).ok_or(No::Failed(format!("{ms} is no time")))
}

/// The client keeps headers in a BTreeMap.
fn headers(record: &Value) -> Result<BTreeMap<String, Vec<u8>>, No> {
    let mut headers = BTreeMap::new();
    for header in record["headers"].as_array().into_iter().flatten() {
        let name = header[0].as_str().unwrap_or_default().to_string();
        let content = decode(&header[1])?.ok_or(No::Unsupported("a header must have a value"))?;
        if headers.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(No::Unsupported("headers are a map: each name once, in the order of the names"));
        }
        headers.insert(name, content);
    }
    Ok(headers)
}

fn outgoing(record: &Value) -> Result<Record, No> {
    Ok(Record {
        key: decode(&record["key"])?,
        value: decode(&record["value"])?,
        headers: headers(record)?,
        timestamp: record["timestamp"].as_i64().map_or(Ok(Utc::now()), timestamp)?,
    })
}

fn incoming(found: &RecordAndOffset) -> Value {
    let headers = found.record.headers.iter().map(|(name, raw)| json!([name, BASE64_STANDARD.encode(raw)]));
    json!({
        "offset": found.offset,
        "key": encode(&found.record.key),
        "value": encode(&found.record.value),
        "headers": headers.collect::<Vec<_>>(),
        "timestamp": found.record.timestamp.timestamp_millis(),
    })
}

fn codec(request: &Value) -> Compression {
    match text(request, "codec") {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::NoCompression,
    }
}

/// One batch for each partition.
pub async fn produce(client: &Client, request: &Value) -> Answer {
    if request["idempotent"] == true {
        return Err(No::Unsupported("rskafka has no idempotence"));
    }
    let mut batches: BTreeMap<i64, (Vec<usize>, Vec<Record>)> = BTreeMap::new();
    for (index, record) in request["records"].as_array().into_iter().flatten().enumerate() {
        let (indices, batch) = batches.entry(number(record, "partition")).or_default();
        indices.push(index);
        batch.push(outgoing(record)?);
    }
    let mut offsets = BTreeMap::new();
    for (number, (indices, batch)) in batches {
        let told = partition(client, request, number).await?.produce(batch, codec(request)).await?;
        offsets.extend(indices.into_iter().zip(told));
    }
    Ok(json!({"offsets": offsets.into_values().collect::<Vec<_>>()}))
}

pub async fn read(client: &Client, request: &Value) -> Answer {
    let partition = partition(client, request, number(request, "partition")).await?;
    let count = usize::try_from(number(request, "count"))?;
    let end = Instant::now() + Duration::from_millis(number(request, "timeout_ms").try_into()?);
    let mut offset = number(request, "offset");
    let mut found = vec![];
    while found.len() < count && Instant::now() < end {
        let (records, _) = partition.fetch_records(offset, 1..FETCHED_BYTES, WAIT_MS).await?;
        offset = records.last().map_or(offset, |last| last.offset + 1);
        found.extend(records.iter().map(incoming));
    }
    found.truncate(count);
    Ok(json!({"records": found}))
}

pub async fn offset(client: &Client, request: &Value) -> Answer {
    let at = match number(request, "at") {
        -2 => OffsetAt::Earliest,
        -1 => OffsetAt::Latest,
        ms => OffsetAt::Timestamp(timestamp(ms)?),
    };
    let partition = partition(client, request, number(request, "partition")).await?;
    Ok(json!({"offset": partition.get_offset(at).await?}))
}

pub async fn delete(client: &Client, request: &Value) -> Answer {
    let partition = partition(client, request, number(request, "partition")).await?;
    partition.delete_records(number(request, "before"), DELETE_MS).await?;
    Ok(json!({"low_watermark": null}))
}
