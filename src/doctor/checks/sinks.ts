/** Sinks: their configuration, what is stored for them, and whether their destinations can be reached. */
import { type ConfigProblem, formatProblem } from '../../config/config-problem.ts';
import { idleSinks, idleSinkText } from '../../config/idle-sinks.ts';
import { isOnlyAbsent } from '../../config/interpolation.ts';
import type { Config } from '../../config/schema.ts';
import { type DoctorFinding, finding, findingOf, sentence } from '../finding.ts';
import type { CheckOutcome } from '../fact.ts';
import type { SinkProbe } from '../facts/probe.ts';
import { unknownSinks, type ParkedSinkCount } from '../../parking/parked-sinks.ts';

/** A secret that this environment does not have is no fault: the process that delivers may have it. */
export function judgeSinkConfig(problems: readonly ConfigProblem[], config: Config, isProbed: boolean): CheckOutcome {
  if (problems.length === 0) return { findings: idle(config), unknown: [] };
  const absent = problems.filter(({ message }) => isOnlyAbsent(message) && !isProbed);
  const wrong = problems.filter((problem) => !absent.includes(problem));
  return { findings: wrong.map(misconfigured), unknown: absent.map(formatProblem) };
}

function misconfigured(problem: ConfigProblem): DoctorFinding {
  const remedy = `Correct ${problem.source}, and see that \`walpost config check\` agrees.`;
  return finding('SINK_CONFIG', {
    subject: problem.path || problem.source,
    what: sentence(formatProblem(problem)),
    remedy,
  });
}

function idle(config: Config): DoctorFinding[] {
  return idleSinks(config).map((name) => {
    const [what = '', remedy = ''] = idleSinkText(name).split(': ');
    return finding('SINK_IDLE', { subject: `sink ${name}`, what: sentence(what), remedy: sentence(remedy) });
  });
}

export function judgeParked(counts: readonly ParkedSinkCount[], { sinks }: Pick<Config, 'sinks'>): DoctorFinding[] {
  const error = unknownSinks(counts, sinks);
  return error === undefined ? [] : [findingOf(error, 'walpost.parked')];
}

export function judgeAsked(probes: readonly SinkProbe[]): CheckOutcome {
  return { findings: judgeProbes(probes), unknown: probes.flatMap(({ unasked }) => unasked ?? []) };
}

export function judgeProbes(probes: readonly SinkProbe[]): DoctorFinding[] {
  return probes.flatMap(({ sink, place, usesProxy, isConnected, reason }) => {
    if (reason === undefined) return [];
    const remedy = isConnected
      ? `Correct what sinks.${sink} logs in with, or the rights that ${place} gives it.`
      : usesProxy
        ? `Let sinks.${sink}.proxy pass connections to ${place}, or correct sinks.${sink}.url.`
        : `Start what listens on ${place}, open the way to it (firewall, DNS), or correct the address and the login in sinks.${sink}.`;
    return [finding('SINK_UNREACHABLE', { subject: `sink ${sink}`, what: `${place}: ${sentence(reason)}`, remedy })];
  });
}
