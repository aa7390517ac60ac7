/** The contract at run time: descriptors of all messages and services. */
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { descriptorSet } from '../gen/descriptors.ts';

export const descriptorBytes = Buffer.from(descriptorSet, 'base64');

export const registry: FileRegistry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, descriptorBytes),
);

/** What a method takes. Throws for a path that the contract does not have: nothing is served unchecked. */
export function requestDescriptor(path: string): DescMessage {
  const [, service = '', name = ''] = path.split('/');
  const method = registry.getService(service)?.methods.find((candidate) => candidate.name === name);
  if (!method) throw new Error(`the contract has no method ${path}`);
  return method.input;
}
