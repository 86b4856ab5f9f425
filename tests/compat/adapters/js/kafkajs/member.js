// The group member of kafkajs.
import { Ownership, Unsupported, failed, pairs } from '../lines.js'

export const memberSettings = (request) => ({
  groupId: request.group,
  sessionTimeout: request.session_ms,
  heartbeatInterval: request.heartbeat_ms,
  rebalanceTimeout: request.rebalance_ms,
  maxWaitTimeInMs: 100
})

export function memberWords(kafka) {
  let consumer = null
  let ownership = null

  async function join(request) {
    if (request.instance !== null) throw new Unsupported('the consumer has no static membership')
    if (request.strategy === 'cooperative') throw new Unsupported('the consumer has no cooperative rebalancing')
    consumer = kafka.consumer(memberSettings(request))
    ownership = new Ownership()
    const mine = ownership
    consumer.on(consumer.events.GROUP_JOIN, (event) => mine.assign(pairs(event.payload.memberAssignment)))
    consumer.on(consumer.events.REBALANCING, () => mine.keep([]))
    consumer.on(consumer.events.CRASH, (event) => {
      failed(event.payload.error)
      mine.keep([])
    })
    await consumer.connect()
    await consumer.subscribe({ topics: request.topics, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) =>
        mine.deliver(topic, partition, message.offset, message.value)
    })
  }

  async function commit(request) {
    const offsets = ownership.toCommit(request).map(([topic, partition, offset, metadata]) => ({
      topic,
      partition,
      offset: String(offset),
      metadata
    }))
    await consumer.commitOffsets(offsets)
  }

  async function leave() {
    if (consumer) await consumer.disconnect()
    consumer = null
  }

  return { words: { join, commit, leave }, close: leave }
}
