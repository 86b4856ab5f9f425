// The group member of @platformatic/kafka.
import {
  COOPERATIVE_STICKY_ASSIGNOR,
  Consumer,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
  cooperativeStickyAssigner
} from '@platformatic/kafka'

import { Ownership, Unsupported, failed } from '../lines.js'

const COOPERATIVE = {
  protocols: [{ name: COOPERATIVE_STICKY_ASSIGNOR, version: 3 }],
  partitionAssigner: cooperativeStickyAssigner
}

const owned = (assignments) => (assignments ?? []).flatMap(({ topic, partitions }) =>
  partitions.map((number) => [topic, number])
)

// An assignment is told when the stream knows the offsets to go on from: until then it still gives records of before.
class Following {
  joined = null

  constructor(consumer, ownership, cooperative) {
    this.ownership = ownership
    consumer.on('consumer:group:join', (event) => {
      this.joined = event
    })
    consumer.on('consumer:group:rebalance', () => ownership.keep(cooperative ? owned(consumer.assignments) : []))
    consumer.on('consumer:heartbeat:error', (event) => failed(event.error))
  }

  ready() {
    if (this.joined) this.ownership.assign(owned(this.joined.assignments), this.joined.generationId)
    this.joined = null
  }

  async start(consumer, topics) {
    const stream = await consumer.consume({
      topics,
      mode: MessagesStreamModes.COMMITTED,
      fallbackMode: MessagesStreamFallbackModes.EARLIEST,
      autocommit: false,
      maxWaitTime: 100
    })
    stream.on('offsets', () => this.ready())
    stream.on('data', (one) => this.ownership.deliver(one.topic, one.partition, one.offset, one.value))
    stream.on('error', failed)
  }
}

export function memberWords(settings) {
  let consumer = null
  let ownership = null

  // Nobody waits for consume(), which only ends when the consumer has joined. It refuses a rebalance time-out below
  // the session time-out.
  function join(request) {
    const cooperative = request.strategy === 'cooperative'
    consumer = new Consumer({
      ...settings,
      groupId: request.group,
      ...(request.instance !== null && { groupInstanceId: request.instance }),
      sessionTimeout: request.session_ms,
      heartbeatInterval: request.heartbeat_ms,
      rebalanceTimeout: Math.max(request.rebalance_ms, request.session_ms),
      ...(cooperative && COOPERATIVE)
    })
    ownership = new Ownership()
    new Following(consumer, ownership, cooperative).start(consumer, request.topics).catch(failed)
  }

  async function commit(request) {
    const wanted = ownership.toCommit(request)
    if (wanted.some(([, , , metadata]) => metadata !== '')) {
      throw new Unsupported('Consumer.commit() takes no metadata')
    }
    const offsets = wanted.map(([topic, partition, offset]) => ({
      topic,
      partition,
      offset: BigInt(offset),
      leaderEpoch: -1
    }))
    await consumer.commit({ offsets })
  }

  async function close() {
    if (consumer) await consumer.close(true)
    consumer = null
  }

  async function leave() {
    if (consumer?.groupInstanceId) {
      throw new Unsupported('Consumer.close() makes a static member leave the group, too')
    }
    await close()
  }

  return { words: { join, commit, leave }, close }
}
