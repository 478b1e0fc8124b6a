// Publishes with @walpost/client in transactions of one library, as an application would, and prints what came of it as one
// line of JSON. A library is a module beside this one: open(url) gives { transaction(work), outside, close() }.
//
// tests/support/library-run.ts copies this folder beside the installed packages; CLIENT is the compiled package.
const [library] = process.argv.slice(2);
const { DATABASE_URL: url, ORGANIZATION: organizationId, CLIENT } = process.env;
const { autocommit, emit, fromDrizzle, once, publish, publishMany, status, withOrganization } = await import(CLIENT);
const { open } = await import(`./${library}.mjs`);

const { transaction, outside, close } = await open(url, fromDrizzle);
const payload = { big: 2n ** 80n, text: `it's "$1" and ? and \\n größe`, list: [1, { a: null }], secret: 'hunter2' };
const event = (eventType, more) => ({ organizationId, eventType, payload, ...more });
const told = ({ name, code, hint, message }) => ({ name, code, hint, message });
const errorOf = (promise) => promise.then(() => null, told);

const committed = await transaction(async (tx) => {
  await withOrganization(tx, organizationId);
  return {
    id: await publish(tx, event('one', { headers: { n: 1 }, eventVersion: 2, entityType: 'job', entityId: '7' })),
    ids: await publishMany(tx, [event('many'), event('many', { payload: 'text' })]),
    result: await once(tx, { organizationId, idempotencyKey: 'k', command: 'public.echo', arguments: { a: ["'"] } }),
  };
});
await transaction(async (tx) => {
  await publish(tx, event('rolled back'));
  throw new Error('no');
}).catch(() => undefined);
const result = {
  ...committed,
  refused: await errorOf(transaction((tx) => publish(tx, event('')))),
  noRelay: await errorOf(transaction((tx) => emit(tx, event('emitted')))),
  outside: await errorOf(publish(outside, event('outside'))),
  asked: await publish(autocommit(outside), event('asked')),
  status: await status(outside, committed.id),
};
await close();
process.stdout.write(`${JSON.stringify(result)}\n`);
