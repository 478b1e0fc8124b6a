/** A sink of somebody else, from a module. docs/sinks/custom.md is the contract. */
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { messageOf, WalpostError } from '../../errors.ts';
import type { Sink } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { asWire } from '../../wire-text.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { checkedVerdicts } from './checked-verdicts.ts';
import { type LoadedDefinition, loadDefinition } from './load-definition.ts';

/** walpost does not see what the module sends. */
const NO_BODY = asWire('');

export async function createCustomSink(config: SinkConfigOf<'custom'>, context: SinkContext): Promise<Sink> {
  const definition = await loadDefinition(config.module, context.name);
  const options = await checkedOptions(definition, config.options, context.name);
  const sink = await created(definition, options, context);
  const texts = new AnswerText(() => textsIn(config.options));
  return {
    async deliver(batch, signal) {
      const { events } = batch;
      const shown = (text: string): string => texts.keep({ text, cut: false }, { events, body: NO_BODY }) ?? '';
      return checkedVerdicts(await sink.deliver(batch, signal), shown);
    },
    close: () => sink.close(),
  };
}

async function created({ create }: LoadedDefinition, options: unknown, context: SinkContext): Promise<Sink> {
  let made: unknown;
  try {
    made = await create(options, context);
  } catch (error) {
    const detail = `create of sinks.${context.name} threw: ${messageOf(error)}.`;
    throw new WalpostError('SINK_MODULE_FAILED', { detail, cause: error });
  }
  const { deliver, close } = (made ?? {}) as Partial<Sink>;
  if (typeof deliver === 'function' && typeof close === 'function') return made as Sink;
  throw new WalpostError('SINK_MODULE_INVALID', {
    detail: `create of sinks.${context.name} returned no object with deliver and close.`,
  });
}

/** Which of the options are secrets only the module knows, so all their texts count as such. */
function* textsIn(options: unknown): Generator<string> {
  if (typeof options === 'string') yield options;
  else if (typeof options === 'object' && options !== null)
    for (const option of Object.values(options)) yield* textsIn(option);
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[];
}

async function checkedOptions({ options: schema }: LoadedDefinition, given: unknown, name: string): Promise<unknown> {
  if (schema === undefined) return given;
  if (!schema['~standard'])
    throw new WalpostError('SINK_MODULE_INVALID', { detail: `options of sinks.${name} is no schema.` });
  const { value, issues } = (await schema['~standard'].validate(given)) as {
    value?: unknown;
    issues?: readonly Issue[];
  };
  if (!issues) return value;
  const lines = issues.map(({ message, path = [] }) => {
    const keys = path.map((key) => String(typeof key === 'object' ? key.key : key));
    return `${['sinks', name, 'options', ...keys].join('.')}: ${message}`;
  });
  throw new WalpostError('CONFIG_INVALID', { detail: `${lines.join('; ')}.` });
}
