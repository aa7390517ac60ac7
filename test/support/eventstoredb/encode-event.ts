/** An event as one reader asked for it: links resolved or not, ids as text or not. */
import type { EventLog } from './log.ts';
import { encodeResolved, encodeStructured, type StoredEvent } from './stored-event.ts';

export interface Encoding {
  readonly resolveLinks: boolean;
  readonly structuredIds: boolean;
}

export function encodeEvent(log: EventLog, event: StoredEvent, encoding: Encoding): Buffer {
  if (encoding.resolveLinks && event.type.name === '$>') {
    return encodeResolved(event, linkTarget(log, event), encoding.structuredIds);
  }
  return encoding.structuredIds ? encodeStructured(event) : event.encoded;
}

/** A link's data is `revision@stream`. */
function linkTarget(log: EventLog, link: StoredEvent): StoredEvent | undefined {
  const text = link.data.toString('utf8');
  const at = text.indexOf('@');
  return log.stream(text.slice(at + 1))?.visible(Number(text.slice(0, at)), log.now());
}
