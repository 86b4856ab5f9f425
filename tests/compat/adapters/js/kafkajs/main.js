// The adapter of kafkajs. It knows gzip by itself; the other codecs are plugged in as its documentation says.
import { createRequire } from 'node:module'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import { compressFrame, decompressFrame } from 'lz4-napi'

import { missing, serve } from '../lines.js'
import { adminWords } from './admin.js'
import { memberWords } from './member.js'
import { recordWords, send } from './records.js'
import { transactionWords } from './transactions.js'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => compressFrame(encoder.buffer),
  decompress: decompressFrame
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zstdCompressSync(encoder.buffer),
  decompress: async (buffer) => zstdDecompressSync(buffer)
})

const kafka = new Kafka({
  brokers: [process.argv[2]],
  clientId: 'compat',
  logLevel: logLevel.WARN,
  logCreator: () => (entry) => console.error(entry.label, entry.namespace, entry.log)
})
const { version } = createRequire(import.meta.url)('kafkajs/package.json')
const records = recordWords(kafka)
const member = memberWords(kafka)
const transactions = transactionWords(kafka, send)
const admin = await adminWords(kafka)

await serve({
  hello: () => ({ client: 'kafkajs', version }),
  ...records.words,
  ...member.words,
  ...transactions.words,
  ...admin.words,
  delete_group_offsets: missing('the admin client has no request to delete offsets of a group'),
  quit: async () => {
    await member.close()
    await transactions.close()
    await records.close()
    await admin.close()
  }
})
