// Writes events with one library, as an application would, and prints what the library gave back as one line of JSON:
//
//   created    what the call that creates an event returned
//   read       the type of that event, read back in the same transaction
//   again      how many events an insert of the same id wrote that ignores conflicts
//
// tests/support/library-run.ts copies this folder beside the installed packages and starts it.
const [library] = process.argv.slice(2);
const { default: write } = await import(`./${library}.mjs`);
const { DATABASE_URL: url, ORGANIZATION: organization, EVENT_ID: id } = process.env;
process.stdout.write(`${JSON.stringify(await write({ url, organization, id }))}\n`);
