/**
 * Checks requests against the rules in the proto files. protovalidate knows only its own message objects, so the
 * bytes are read a second time; that costs about a microsecond for a small message. Fields that the contract does
 * not know are ignored (a newer client may send them); enum values it does not know are refused by the rules.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { contract, registry, requestDescriptor } from './descriptors.ts';
import type { FieldViolation } from './errors.ts';
import { extractTimeRanges } from './time-ranges.ts';

export type ValidationOutcome =
  | { readonly kind: 'valid' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'invalid'; readonly violations: readonly FieldViolation[] };

/** Throws when the rules themselves could not be carried out. */
export type Validate = (bytes: Uint8Array) => ValidationOutcome;

const timeRanges = extractTimeRanges(registry, contract);

const patterns = new Map<string, RegExp>();

const validator = createValidator({
  registry: timeRanges.registry,
  // The patterns are ours and linear; the engine of the platform runs them several times faster than RE2 in
  // JavaScript. They come from the contract alone, so the cache is bounded.
  regexMatch(pattern, against) {
    let compiled = patterns.get(pattern);
    if (!compiled) patterns.set(pattern, (compiled = new RegExp(pattern, 'u')));
    return compiled.test(against);
  },
});

const valid: ValidationOutcome = { kind: 'valid' };
const malformed: ValidationOutcome = { kind: 'malformed' };

/** The check of one method's requests. Throws for a method that the contract does not have. */
export function validatorOf(path: string): Validate {
  const descriptor = requestDescriptor(path, timeRanges.registry);
  const checkTimes = timeRanges.checkOf(descriptor);
  return (bytes) => {
    let message;
    try {
      message = fromBinary(descriptor, bytes);
    } catch {
      return malformed;
    }
    const result = validator.validate(descriptor, message);
    // Not an exception in the library, and never a pass here.
    if (result.kind === 'error') throw result.error;
    const violations: FieldViolation[] = [];
    for (const violation of result.violations ?? []) {
      violations.push({
        field: pathToString(violation.field),
        description: violation.message,
        reason: violation.ruleId,
      });
    }
    checkTimes?.(message, '', violations);
    return violations.length === 0 ? valid : { kind: 'invalid', violations };
  };
}
