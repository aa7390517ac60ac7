/** Which events of `$all` a reader asked for. */
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import { Refused, refusals } from './refusals.ts';
import type { StoredEvent } from './stored-event.ts';

export interface EventFilter {
  readonly matches: (event: StoredEvent) => boolean;
  /** Events searched per page. */
  readonly window: number;
  /** Events searched per checkpoint. */
  readonly checkpointInterval: number;
}

const pageSize = 32;

export function toFilter(options: ReadReq.Options.FilterOptions): EventFilter {
  const window = options.hasMax() ? options.getMax() : pageSize;
  const byStream = options.getStreamIdentifier();
  const expression = byStream ?? options.getEventType();
  if (!expression) throw new Refused(refusals.badRequest('a filter without an expression'));
  const test = toTest(expression.getRegex(), expression.getPrefixList());
  return {
    matches: byStream ? (event) => test(event.stream.name) : (event) => test(event.type.name),
    window,
    checkpointInterval: window * Math.max(1, options.getCheckpointintervalmultiplier()),
  };
}

function toTest(regex: string, prefixes: readonly string[]): (text: string) => boolean {
  if (regex !== '') {
    const pattern = new RegExp(regex, 'u');
    return (text) => pattern.test(text);
  }
  const [only] = prefixes;
  if (only !== undefined && prefixes.length === 1) return (text) => text.startsWith(only);
  return (text) => prefixes.some((prefix) => text.startsWith(prefix));
}
