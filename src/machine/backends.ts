/** The backends that machines can be created on, and how `auto` chooses. */
import { NotSupportedError } from '../errors.ts';
import type { Backend, BackendKind, EngineMachine, EngineOptions } from './engine.ts';

export type BackendChoice = 'auto' | BackendKind;

/** Which backend a machine got, why, and what was tried before it. */
export interface ChosenBackend {
  readonly kind: BackendKind;
  readonly why: string;
  readonly rejected: readonly { readonly kind: BackendKind; readonly error: Error }[];
}

const backends = new Map<BackendKind, Backend>();

/** Makes a backend known; src/backends.ts does so for both, in the order in which `auto` tries them. */
export function registerBackend(backend: Backend): void {
  backends.set(backend.kind, backend);
}

export async function chooseBackend(
  choice: BackendChoice,
  options: EngineOptions,
  onWake: () => void,
): Promise<{ engine: EngineMachine; chosen: ChosenBackend }> {
  if (choice !== 'auto') {
    const backend = backends.get(choice);
    if (backend === undefined) {
      throw new NotSupportedError(`there is no backend '${choice}'`, {
        requires: `one of auto, ${[...backends.keys()].join(', ')}`,
      });
    }
    const engine = await backend.open(options, onWake);
    return { engine, chosen: { kind: choice, why: `asked for: ${backend.description}`, rejected: [] } };
  }
  const rejected: { kind: BackendKind; error: Error }[] = [];
  for (const backend of backends.values()) {
    try {
      const engine = await backend.open(options, onWake);
      const first = rejected[0];
      const why =
        first === undefined
          ? backend.description
          : `${backend.description}; ${first.kind} is not available: ${first.error.message}`;
      return { engine, chosen: { kind: backend.kind, why, rejected } };
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      rejected.push({ kind: backend.kind, error });
    }
  }
  throw new AggregateError(
    rejected.map(({ error }) => error),
    `no backend can give this machine: ${rejected.map(({ kind, error }) => `${kind}: ${error.message}`).join('; ')}`,
  );
}
