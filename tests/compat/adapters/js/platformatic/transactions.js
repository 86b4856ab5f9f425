// Transactions with @platformatic/kafka. A producer initialises its id with its first transaction, so that one is begun ahead.
import { Consumer, MessagesStreamFallbackModes, MessagesStreamModes, Producer } from '@platformatic/kafka'

import { chained, failed, transformed } from '../lines.js'

const TURN = 100

// What an id is initialised with: without it the client says that it is producer 0, and is fenced.
const nobody = { producerId: -1n, producerEpoch: -1 }

export function transactionWords(settings, sendRuns) {
  const producers = new Map()
  let consumer = null

  async function txn_open(request) {
    const producer = new Producer({ ...settings, transactionalId: request.txn, timeout: request.timeout_ms, idempotent: true, ...nobody })
    producers.set(request.as, { producer, next: await producer.beginTransaction(), current: null })
  }

  async function txn_begin(request) {
    const mine = producers.get(request.as)
    mine.current = mine.next ?? (await mine.producer.beginTransaction())
    mine.next = null
  }

  const txn_send = (request) => sendRuns(producers.get(request.as).current, request)

  async function txn_end(request) {
    const { current } = producers.get(request.as)
    await (request.commit ? current.commit() : current.abort())
  }

  async function transform(request) {
    await txn_open({ ...request, as: 'chain' })
    consumer = new Consumer({
      ...settings,
      groupId: request.group,
      sessionTimeout: request.session_ms,
      heartbeatInterval: request.heartbeat_ms,
      rebalanceTimeout: request.rebalance_ms
    })
    const stream = await consumer.consume({
      topics: [request.topic],
      mode: MessagesStreamModes.COMMITTED,
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
      autocommit: false,
      isolationLevel: 1,
      maxWaitTime: 100
    })
    run(stream, request.to).catch(failed)
  }

  async function run(stream, to) {
    const waiting = []
    stream.on('error', failed)
    stream.on('data', (message) => waiting.push(message))
    for (;;) {
      if (waiting.length > 0) await turn(waiting.splice(0, TURN), to)
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function turn(batch, to) {
    await txn_begin({ as: 'chain' })
    const { current } = producers.get('chain')
    await current.send({
      messages: batch.map(({ partition, value }) => ({ topic: to, partition, value: transformed(value) }))
    })
    await current.addConsumer(consumer)
    const last = new Map(batch.map((message) => [message.partition, message]))
    for (const message of last.values()) await current.addOffset(message)
    await current.commit()
    chained(batch.length)
  }

  async function close() {
    if (consumer) await consumer.close(true)
    for (const { producer } of producers.values()) await producer.close()
  }

  return { words: { txn_open, txn_begin, txn_send, txn_end, transform }, close }
}
