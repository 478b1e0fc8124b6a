/** How a module says which sink it has. These types are a public contract: fields are only ever added. */
import type { CreateSink } from './custom-sink.ts';

/** A schema of zod, valibot or arktype: whatever keeps the Standard Schema, https://standardschema.dev. */
export interface OptionsSchema<Options> {
  readonly '~standard': {
    readonly validate: (value: unknown) => OptionsResult<Options> | Promise<OptionsResult<Options>>;
  };
}

export type OptionsResult<Options> =
  { readonly value: Options; readonly issues?: undefined } | { readonly issues: readonly OptionsIssue[] };

export interface OptionsIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

export interface SinkDefinition<Options> {
  /** SINK_CONTRACT of the walpost that the module was written for. */
  readonly contract: number;
  /** Checks `options` of walpost.yaml before `create` gets them. Without it, `create` gets them as they are. */
  readonly options?: OptionsSchema<Options>;
  readonly create: CreateSink<Options>;
}

/** For the default export of a module: gives `create` the type of its options. Returns what it is given. */
export function defineSink<Options>(definition: SinkDefinition<Options>): SinkDefinition<Options> {
  return definition;
}
