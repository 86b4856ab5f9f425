// The admin client of kafkajs.
import kafkajs from 'kafkajs'

const { ConfigResourceTypes } = kafkajs

const entriesOf = (set) => Object.entries(set).map(([name, value]) => ({ name, value }))

// The admin client throws only where a whole request failed.
function must(errorCode) {
  if (errorCode !== 0) throw new Error(`error ${errorCode}`)
}

export async function adminWords(kafka) {
  const admin = kafka.admin()
  await admin.connect()

  async function offset({ topic, partition, at }) {
    const ends = await admin.fetchTopicOffsets(topic)
    const end = ends.find((one) => one.partition === partition)
    if (at === -2) return { offset: Number(end.low) }
    if (at === -1) return { offset: Number(end.high) }
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, at)
    const one = found.find((other) => other.partition === partition)
    // The client answers the end where the broker says that no record is that young.
    return { offset: one.offset === end.high ? -1 : Number(one.offset) }
  }

  async function create_topic({ topic, partitions, configs }) {
    const wanted = { topic, numPartitions: partitions, replicationFactor: 1, configEntries: entriesOf(configs) }
    await admin.createTopics({ topics: [wanted] })
  }

  async function describe_topic({ topic }) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return { partitions: topics[0].partitions.length }
  }

  const list_topics = async () => ({ topics: await admin.listTopics() })

  async function create_partitions({ topic, total }) {
    await admin.createPartitions({ topicPartitions: [{ topic, count: total }] })
  }

  async function alter_config({ topic, set }) {
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: entriesOf(set) }
    await admin.alterConfigs({ resources: [resource] })
    return { incremental: false }
  }

  async function describe_config({ topic, broker }) {
    const resource = broker
      ? { type: ConfigResourceTypes.BROKER, name: broker }
      : { type: ConfigResourceTypes.TOPIC, name: topic }
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: true })
    must(resources[0].errorCode)
    const configs = resources[0].configEntries.map((entry) => [entry.configName, entry.configValue])
    return { configs: Object.fromEntries(configs) }
  }

  async function delete_records({ topic, partition, before }) {
    await admin.fetchTopicOffsets(topic) // it finds no leader of a topic that it was not asked about before
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
    return { low_watermark: null }
  }

  const delete_topic = async ({ topic }) => void (await admin.deleteTopics({ topics: [topic] }))

  async function committed({ group, partitions }) {
    const topics = [...new Set(partitions.map(([topic]) => topic))]
    const found = await admin.fetchOffsets({ groupId: group, topics })
    const answers = partitions.map(([topic, number]) =>
      found.find((one) => one.topic === topic)?.partitions.find((one) => one.partition === number)
    )
    return {
      offsets: answers.map((one) => Number(one?.offset ?? -1)),
      metadata: answers.map((one) => one?.metadata ?? '')
    }
  }

  async function list_groups() {
    const { groups } = await admin.listGroups()
    return { groups: groups.map((group) => group.groupId) }
  }

  async function describe_group({ group }) {
    const { groups } = await admin.describeGroups([group])
    must(groups[0].errorCode)
    return { state: groups[0].state, members: groups[0].members.length, protocol_type: groups[0].protocolType }
  }

  const delete_group = async ({ group }) => void (await admin.deleteGroups([group]))

  const words = {
    offset,
    create_topic,
    describe_topic,
    list_topics,
    create_partitions,
    alter_config,
    describe_config,
    delete_records,
    delete_topic,
    committed,
    list_groups,
    describe_group,
    delete_group
  }
  return { words, close: () => admin.disconnect() }
}
