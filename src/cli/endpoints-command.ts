import { Command } from 'commander';
import { readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { AdoptFlags, EndpointListFlags, EndpointFlags, ReasonFlags } from './endpoints.ts';
import type { RecoverFlags } from './endpoint-recovery.ts';
import { withChangeOptions } from './stored-filter.ts';

const json = (name: string): Command => withConfigOptions(new Command(name)).option('--json', 'as JSON');
const one = (name: string): Command => json(name).argument('<id>', 'id of the endpoint');

export function endpointsCommand(): Command {
  const endpoints = new Command('endpoints')
    .description('Webhooks that customers have added, with what fails and what waits.')
    .helpGroup('Mend:')
    .helpCommand(false);
  endpoints.addCommand(
    json('list')
      .description('List them, the oldest first.')
      .option('--sink <name>', 'only of this sink')
      .option('--organization <id>', 'only of this organization')
      .option('--state <state>', 'only in this state: enabled, paused, disabled')
      .option('--failing', 'only those whose last attempt was not accepted')
      .option('--limit <n>', 'how many at most (default: 50)')
      .action(async (flags: EndpointListFlags) =>
        (await import('./endpoints.ts')).listAll(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  endpoints.addCommand(
    one('show')
      .description('Show everything about one but its secrets and the values of its headers.')
      .action(async (id: string, flags: EndpointFlags) =>
        (await import('./endpoints.ts')).show(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  endpoints.addCommand(
    one('test')
      .description('Send it an event of the type walpost.endpoint.test, whatever it asks for.')
      .action(async (id: string, flags: EndpointFlags) =>
        (await import('./endpoints.ts')).test(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  addChanges(endpoints);
  return endpoints;
}

function addChanges(endpoints: Command): void {
  endpoints.addCommand(
    one('pause')
      .description('Send it nothing until it is enabled; its events are parked, in order.')
      .option('--reason <text>', 'why, for whoever looks; its organization sees it')
      .action(async (id: string, flags: ReasonFlags) =>
        (await import('./endpoints.ts')).pause(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  endpoints.addCommand(
    one('enable')
      .description('Send to it again, what was parked first. What it missed while disabled: see recover.')
      .action(async (id: string, flags: EndpointFlags) =>
        (await import('./endpoints.ts')).enable(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  endpoints.addCommand(
    withChangeOptions(one('disable'))
      .description('Send it nothing any more, and discard what is parked for it.')
      .option('--reason <text>', 'why, for whoever looks; its organization sees it')
      .action(async (id: string, flags: ReasonFlags) =>
        (await import('./endpoints.ts')).disable(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  endpoints.addCommand(
    withChangeOptions(one('recover'))
      .description('Enable it, and send what it missed while it was disabled.')
      .option('--since <time>', 'what was committed from then on, or so long ago (default: since it misses events)')
      .option('--rate <n>', 'how many events a second at most')
      .action(async (id: string, flags: RecoverFlags) =>
        (await import('./endpoint-recovery.ts')).recover(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  endpoints.addCommand(
    json('adopt')
      .description('In a copy of a database: let its endpoints get events from here.')
      .option('-y, --yes', 'do not ask')
      .action(async (flags: AdoptFlags) =>
        (await import('./endpoints.ts')).adopt(await readConfigWithoutSecrets(flags), flags),
      ),
  );
}
