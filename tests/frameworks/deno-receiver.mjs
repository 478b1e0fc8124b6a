/**
 * A receiver as a Supabase Edge Function has it, for Deno: the handler and Deno.serve, nothing else. Environment: SECRET, and
 * CONSUMER, the directory of the compiled package. It prints `port <n>`.
 */
const { createWebhookHandler, memoryDedupe } = await import(`file://${Deno.env.get('CONSUMER')}/index.js`);

const handler = createWebhookHandler({
  secrets: Deno.env.get('SECRET'),
  dedupe: memoryDedupe(),
  events: { counted: (event) => console.log(`n ${event.payload.n}`) },
});

Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: ({ port }) => console.log(`port ${port}`) }, handler);
