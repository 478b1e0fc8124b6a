/** A sink of one's own in its shortest form: it counts events by type, in `walpost_sink_counts_total`. See docs/sinks/custom.md. */
export default {
  contract: 1,
  create: (_options, { metrics }) => ({
    async deliver({ events }) {
      for (const { eventType } of events) metrics.count(eventType);
      return { kind: 'delivered' };
    },
    async close() {},
  }),
};
