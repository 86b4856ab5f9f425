// The admin client of @platformatic/kafka.
import { Admin, ConfigResourceTypes, IncrementalAlterConfigOperationTypes } from '@platformatic/kafka'

const entriesOf = (set) => Object.entries(set).map(([name, value]) => ({ name, value }))

export function adminWords(settings) {
  const admin = new Admin(settings)

  async function offset({ topic, partition, at }) {
    const partitions = [{ partitionIndex: partition, timestamp: BigInt(at) }]
    const topics = await admin.listOffsets({ topics: [{ name: topic, partitions }] })
    return { offset: Number(topics[0].partitions[0].offset) }
  }

  async function create_topic({ topic, partitions, configs }) {
    await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: entriesOf(configs) })
  }

  async function describe_topic({ topic }) {
    const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true })
    return { partitions: topics.get(topic).partitionsCount }
  }

  const list_topics = async () => ({ topics: await admin.listTopics() })

  async function create_partitions({ topic, total }) {
    await admin.createPartitions({ topics: [{ name: topic, count: total, assignments: null }] })
  }

  async function alter_config({ topic, set }) {
    const configs = entriesOf(set).map((entry) => ({
      ...entry,
      configOperation: IncrementalAlterConfigOperationTypes.SET
    }))
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configs }
    await admin.incrementalAlterConfigs({ resources: [resource] })
    return { incremental: true }
  }

  async function describe_config({ topic, broker }) {
    const resource = broker
      ? { resourceType: ConfigResourceTypes.BROKER, resourceName: broker }
      : { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }
    const options = { resources: [resource], includeSynonyms: true, includeDocumentation: true }
    const [found] = await admin.describeConfigs(options)
    return { configs: Object.fromEntries(found.configs.map(({ name, value }) => [name, value])) }
  }

  async function delete_records({ topic, partition, before }) {
    const partitions = [{ partition, offset: BigInt(before) }]
    const topics = await admin.deleteRecords({ topics: [{ name: topic, partitions }] })
    return { low_watermark: Number(topics[0].partitions[0].lowWatermark) }
  }

  const delete_topic = async ({ topic }) => admin.deleteTopics({ topics: [topic] })

  async function committed({ group, partitions }) {
    const wanted = Map.groupBy(partitions, ([topic]) => topic)
    const topics = [...wanted].map(([name, list]) => ({ name, partitionIndexes: list.map(([, number]) => number) }))
    const [found] = await admin.listConsumerGroupOffsets({ groups: [{ groupId: group, topics }] })
    const answers = partitions.map(([topic, number]) =>
      found.topics.find((one) => one.name === topic)?.partitions.find((one) => one.partitionIndex === number)
    )
    return {
      offsets: answers.map((one) => Number(one?.committedOffset ?? -1)),
      metadata: answers.map((one) => one?.metadata ?? '')
    }
  }

  const list_groups = async () => ({ groups: [...(await admin.listGroups()).keys()] })

  async function describe_group({ group }) {
    const found = (await admin.describeGroups({ groups: [group] })).get(group)
    return { state: found.state, members: found.members.size, protocol_type: found.protocolType }
  }

  const delete_group = async ({ group }) => admin.deleteGroups({ groups: [group] })

  async function delete_group_offsets({ group, topic, partition }) {
    const topics = [{ name: topic, partitionIndexes: [partition] }]
    await admin.deleteConsumerGroupOffsets({ groupId: group, topics })
  }

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
    delete_group,
    delete_group_offsets
  }
  return { words, close: () => admin.close() }
}
