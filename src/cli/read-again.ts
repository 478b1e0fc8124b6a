/** SIGHUP: the configuration is read as at the start, and the log says what was found. */
import { ConfigError, formatProblem } from '../config/config-problem.ts';
import type { LoadedConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observe/log.ts';

const STAYS = 'the configuration stays as it is: correct the file, and send SIGHUP again';

/** The new configuration; undefined when it has problems. */
export function readAgain(load: () => LoadedConfig, log: Logger): Config | undefined {
  try {
    const { config, draft, path, warnings } = load();
    for (const warning of warnings) log.warn(formatProblem(warning));
    const used = draft
      .places()
      .flatMap(({ place }) => [
        ...place.variables.filter((name) => !name.startsWith('file:')),
        ...(place.source.startsWith('WALPOST__') ? [place.source] : []),
      ]);
    const variables = [...new Set(used)].filter((name) => process.env[name] !== undefined).toSorted(); // others are of `.env`
    const words = 'the configuration is read again; everything is opened anew';
    if (variables.length === 0) log.info({ file: path }, words);
    else log.info({ file: path, variables }, `${words}; variables of the environment need a restart to change`);
    return config;
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems.map(formatProblem) : [messageOf(error)];
    for (const problem of problems) log.error({ code: 'CONFIG_INVALID' }, problem);
    log.error({ problems: problems.length }, STAYS);
    return undefined;
  }
}
