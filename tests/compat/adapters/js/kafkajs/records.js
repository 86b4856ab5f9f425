// Producing and reading with kafkajs.
import kafkajs from 'kafkajs'

import { Unsupported, decode, encode } from '../lines.js'

const { CompressionTypes, Partitioners } = kafkajs
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD
}

// The client keeps headers in an object, a name's values together: anything else would come back in another order.
function headersOf(record) {
  const headers = {}
  let last = null
  for (const [name, content] of record.headers) {
    if (content === null) throw new Unsupported('a header must have a value')
    if (name in headers && name !== last) {
      throw new Unsupported('headers are an object, which keeps the values of a name together')
    }
    headers[name] = name in headers ? [headers[name], decode(content)].flat() : decode(content)
    last = name
  }
  return headers
}

const outgoing = (record) => ({
  partition: record.partition,
  key: decode(record.key),
  value: decode(record.value),
  headers: headersOf(record),
  timestamp: record.timestamp === null ? undefined : String(record.timestamp)
})

const incoming = (message) => ({
  offset: Number(message.offset),
  key: encode(message.key),
  value: encode(message.value),
  timestamp: Number(message.timestamp),
  headers: Object.entries(message.headers).flatMap(([name, content]) =>
    [content].flat().map((one) => [name, encode(one)])
  )
})

// One batch goes to each partition, and only its first offset is told.
function offsetsOf(records, answers) {
  const next = new Map(answers.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]))
  return records.map(({ partition }) => {
    const offset = next.get(partition)
    next.set(partition, offset + 1)
    return offset
  })
}

// By a producer or in a transaction.
export async function send(sender, request) {
  const messages = request.records.map(outgoing)
  const answers = await sender.send({ topic: request.topic, acks: -1, compression: CODECS[request.codec], messages })
  return { offsets: offsetsOf(request.records, answers) }
}

export function recordWords(kafka) {
  const producers = new Map()
  let reads = 0

  async function producer(idempotent) {
    if (!producers.has(idempotent)) {
      const settings = idempotent ? { idempotent, maxInFlightRequests: 1 } : {}
      const made = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...settings })
      await made.connect()
      producers.set(idempotent, made)
    }
    return producers.get(idempotent)
  }

  const produce = async (request) => send(await producer(request.idempotent), request)

  // The client reads as a member of a group only: here one of its own, moved to the offset by seek.
  async function read(request) {
    const { topic, partition, offset, count } = request
    const groupId = `read-${process.pid}-${++reads}`
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, readUncommitted: !request.committed })
    const found = []
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await new Promise((resolve, reject) => {
        setTimeout(resolve, request.timeout_ms)
        consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error))
        const eachMessage = async (one) => {
          if (one.partition === partition && found.length < count) found.push(incoming(one.message))
          if (found.length === count) resolve()
        }
        consumer.run({ autoCommit: false, eachMessage }).catch(reject)
        consumer.seek({ topic, partition, offset: String(offset) })
      })
    } finally {
      await consumer.disconnect()
    }
    return { records: found }
  }

  async function close() {
    for (const made of producers.values()) await made.disconnect()
  }

  return { words: { produce, read }, close }
}
