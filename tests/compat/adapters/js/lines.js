// What the adapters in JavaScript share: the lines of ../PROTOCOL.md.
import { createInterface } from 'node:readline'

// Thrown where the client has no such thing; the message says why.
export class Unsupported extends Error {}

export const encode = (raw) => (raw === null || raw === undefined ? null : Buffer.from(raw).toString('base64'))
export const decode = (text) => (text === null ? null : Buffer.from(text, 'base64'))

function say(line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

// Pairs of topic and number, from objects of topic -> numbers.
export const pairs = (topics) =>
  Object.entries(topics).flatMap(([topic, numbers]) => numbers.map((number) => [topic, number]))

// What a chain makes of a record.
export const transformed = (value) => Buffer.concat([Buffer.from('did '), value])

// A transaction that a chain has committed.
export const chained = (count) => say({ event: 'transformed', count })

export const failed = (error) => say({ event: 'error', error: textOf(error) })

// What a member owns, told in events as it changes, and what it was given of that.
export class Ownership {
  owned = []
  ends = new Map()

  has([topic, number], list = this.owned) {
    return list.some((one) => one[0] === topic && one[1] === number)
  }

  // Everything that it owns now.
  assign(owned, generation = null) {
    this.keep(owned)
    this.owned = owned
    say({ event: 'assigned', partitions: owned, generation })
  }

  // Says what is no longer among `kept`.
  keep(kept) {
    const taken = this.owned.filter((one) => !this.has(one, kept))
    this.owned = this.owned.filter((one) => this.has(one, kept))
    taken.forEach((one) => this.ends.delete(String(one)))
    if (taken.length > 0) say({ event: 'revoked', partitions: taken })
  }

  deliver(topic, partition, offset, value) {
    say({ event: 'record', topic, partition, offset: Number(offset), value: encode(value) })
    this.ends.set(String([topic, partition]), [topic, partition, Number(offset) + 1, ''])
  }

  // The [topic, partition, offset, metadata] of a commit request: what it names, or else all that was delivered.
  toCommit(request) {
    return request.offsets ?? [...this.ends.values()]
  }
}

// The reason is often only in the cause, or in the errors of an AggregateError.
export function textOf(error) {
  const inner = [error.cause, ...(error.errors ?? [])].filter(Boolean).map(textOf)
  return [`${error.name}: ${error.message}`, ...inner].join('; ')
}

async function answer(words, request) {
  const word = words[request.do]
  try {
    if (!word) throw new Error('the adapter does not know this word')
    return { ok: true, ...(await word(request)) }
  } catch (error) {
    if (error instanceof Unsupported) return { unsupported: error.message }
    console.error(error)
    return { error: textOf(error) }
  }
}

// A word that always says why the client lacks it.
export const missing = (why) => () => {
  throw new Unsupported(why)
}

// Answers requests one after the other until quit, or until the input ends: then everything is dropped at once.
export async function serve(words) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    say({ id: request.id, ...(await answer(words, request)) })
    if (request.do === 'quit') process.exit(0)
  }
  process.exit(1)
}
