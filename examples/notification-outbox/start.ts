import { Example } from '../support/example.ts';

await using example = await Example.open(import.meta.dirname, ['RECEIVER_PORT']);
await example.start('receiver', 'receiver.ts', 'RECEIVER_PORT');
await example.startWalpost();
await example.start('application', 'application.ts');
example.say(`
100 organizations catalog things, and each change becomes a notification.
In another terminal, in this folder:

  npm run views              what waits, what failed, alerts; every second
  npm run isolation          what organization 1 can do to organization 2
  npm run flag 7 unreadable  a flag that is refused: soon a dead letter
  npm run walpost status     what walpost itself says
  npm run audit              what was committed, and what has arrived
  kill -9 <process>          walpost or the receiver: nothing is lost

Ctrl-C stops everything, and removes its files.
`);
await example.untilStopped();
