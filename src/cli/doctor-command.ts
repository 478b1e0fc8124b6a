import { Command } from 'commander';
import { wantsColor } from '../observe/color.ts';
import { type ConfigFlags, loadOptions, withConfigOptions } from './config-options.ts';
import { EXIT } from './exit-code.ts';
import { sayJson } from './output.ts';

interface DoctorFlags extends ConfigFlags {
  readonly json?: boolean;
  readonly probe?: boolean;
}

export function doctorCommand(): Command {
  return withConfigOptions(new Command('doctor'))
    .description('Look for what is wrong around walpost: server, rights, slot, sinks; say what mends it.')
    .helpGroup('Set up:')
    .option('--probe', 'also connect to the destinations of sinks; nothing is sent')
    .option('--json', 'as JSON')
    .action(showFindings);
}

/** Exit code 3 when there is a finding. What is not known is said, and changes no exit code. */
async function showFindings(flags: DoctorFlags): Promise<void> {
  const [{ loadConfigApart }, { examine }, { systemClock }, { doctorText }, { terminalWidth }] = await Promise.all([
    import('../config/load-apart.ts'),
    import('../doctor/examine.ts'),
    import('../clock.ts'),
    import('./doctor-view.ts'),
    import('./text-table.ts'),
  ]);
  const config = loadConfigApart(loadOptions(flags));
  const found = await examine({ config, probe: flags.probe === true, clock: systemClock });
  if (flags.json) sayJson(found);
  else process.stdout.write(doctorText(found, wantsColor(process.stdout), terminalWidth(process.stdout)));
  process.exitCode = found.findings.length > 0 ? EXIT.problemsFound : EXIT.done;
}
