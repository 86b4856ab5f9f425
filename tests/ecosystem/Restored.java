import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** Says how many records each state was restored from. */
final class Restored implements StateRestoreListener {
    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) { }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long end, long count) { }

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long total) {
        System.out.println("restored: " + partition + " " + total);
    }
}
