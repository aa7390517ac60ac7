/** What every event carries beside its payload: which request caused it. Names as EventStoreDB uses them. */
import type { CommandRequest } from './commands.ts';

export interface EventMetadata {
  readonly requestId: string;
  readonly contentHash: string | undefined;
  readonly causationId: string | undefined;
  readonly correlationId: string;
}

/** JSON text for the events of a request. */
export function writeMetadata(request: CommandRequest): string {
  return JSON.stringify({
    requestId: request.requestId,
    contentHash: request.contentHash,
    $causationId: request.causationId,
    $correlationId: request.correlationId ?? request.requestId,
  });
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Undefined for an event that no command of ours wrote. */
export function readMetadata(json: string): EventMetadata | undefined {
  const raw: unknown = json === '' ? {} : JSON.parse(json);
  if (typeof raw !== 'object' || raw === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(raw));
  const requestId = text(fields.get('requestId'));
  if (requestId === undefined) return undefined;
  return {
    requestId,
    contentHash: text(fields.get('contentHash')),
    causationId: text(fields.get('$causationId')),
    correlationId: text(fields.get('$correlationId')) ?? requestId,
  };
}
