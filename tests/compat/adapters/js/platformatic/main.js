// The adapter of @platformatic/kafka.
import { serve } from '../lines.js'
import { adminWords } from './admin.js'
import { memberWords } from './member.js'
import { recordWords, sendRuns } from './records.js'
import { transactionWords } from './transactions.js'

// The library keeps its version in a file that it does not export.
const { version } = await import(new URL('version.js', import.meta.resolve('@platformatic/kafka')))
const settings = { clientId: 'compat', bootstrapBrokers: [process.argv[2]] }
const records = recordWords(settings)
const member = memberWords(settings)
const transactions = transactionWords(settings, sendRuns)
const admin = adminWords(settings)

await serve({
  hello: () => ({ client: '@platformatic/kafka', version }),
  ...records.words,
  ...member.words,
  ...transactions.words,
  ...admin.words,
  quit: async () => {
    await member.close()
    await transactions.close()
    await records.close()
    await admin.close()
  }
})
