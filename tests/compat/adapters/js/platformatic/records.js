// Producing and reading with @platformatic/kafka.
import { Consumer, MessagesStreamFallbackModes, MessagesStreamModes, ProduceAcks, Producer } from '@platformatic/kafka'

import { decode, encode } from '../lines.js'

// Optional fields are left out rather than null.
function outgoing(topic, record) {
  const message = { topic, partition: record.partition }
  if (record.key !== null) message.key = decode(record.key)
  if (record.value !== null) message.value = decode(record.value)
  if (record.timestamp !== null) message.timestamp = BigInt(record.timestamp)
  if (record.headers.length > 0) {
    message.headers = new Map(record.headers.map(([name, content]) => [Buffer.from(name), decode(content)]))
  }
  return message
}

const incoming = (message) => ({
  offset: Number(message.offset),
  key: encode(message.key),
  value: encode(message.value),
  timestamp: Number(message.timestamp),
  headers: message.headerEntries.map(([name, content]) => [name.toString(), encode(content)])
})

// The client garbles a timestamp that is more than 2^31 ms from its batch's first: records with and without a timestamp
// of their own are sent apart, in their order.
function runsOf(records) {
  const runs = []
  for (const record of records) {
    const run = runs.at(-1)
    if (run && (run[0].timestamp === null) === (record.timestamp === null)) run.push(record)
    else runs.push([record])
  }
  return runs
}

// One batch goes to each partition, and only its first offset is told.
function offsetsOf(records, answers) {
  const next = new Map(answers.map(({ partition, offset }) => [partition, Number(offset)]))
  return records.map(({ partition }) => {
    const offset = next.get(partition)
    next.set(partition, offset + 1)
    return offset
  })
}

async function send(sender, request, records) {
  const { offsets } = await sender.send({
    messages: records.map((record) => outgoing(request.topic, record)),
    acks: ProduceAcks.ALL,
    compression: request.codec
  })
  return offsetsOf(records, offsets)
}

// By a producer or in a transaction.
export async function sendRuns(sender, request) {
  const offsets = []
  for (const run of runsOf(request.records)) offsets.push(...(await send(sender, request, run)))
  return { offsets }
}

export function recordWords(settings) {
  const producers = new Map()
  let reads = 0

  function producer(idempotent) {
    if (!producers.has(idempotent)) producers.set(idempotent, new Producer({ ...settings, idempotent }))
    return producers.get(idempotent)
  }

  const produce = (request) => sendRuns(producer(request.idempotent), request)

  // The client's streams read as a member of a group only: here one of its own, with the offset given by hand.
  async function read({ topic, partition, offset, count, timeout_ms, committed }) {
    const consumer = new Consumer({ ...settings, groupId: `read-${process.pid}-${++reads}` })
    const found = []
    try {
      const stream = await consumer.consume({
        topics: [topic],
        mode: MessagesStreamModes.MANUAL,
        fallbackMode: MessagesStreamFallbackModes.EARLIEST,
        offsets: [{ topic, partition, offset: BigInt(offset) }],
        autocommit: false,
        isolationLevel: committed ? 1 : 0,
        maxWaitTime: 100
      })
      await new Promise((resolve, reject) => {
        setTimeout(resolve, timeout_ms)
        stream.on('error', reject)
        stream.on('data', (message) => {
          if (message.partition === partition && found.length < count) found.push(incoming(message))
          if (found.length === count) resolve()
        })
      })
    } finally {
      await consumer.close(true)
    }
    return { records: found }
  }

  async function close() {
    for (const made of producers.values()) await made.close()
  }

  return { words: { produce, read }, close }
}
