import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePci, type PciFunction } from '../../../src/pci/functions.ts';
import { dumped } from '../../../src/pci/record.ts';
import { areas, documentOf } from '../../../src/probe/document.ts';
import { host, known } from '../../support/host-facts.ts';
import { decodeLspci } from '../../support/lspci-functions.ts';
import { pciDumpOrSkip, pciDumps } from '../../support/pci-dumps.ts';
import { anyFunction } from '../../support/pci-space.ts';

const schema = JSON.parse(readFileSync(new URL('../../../src/probe/probe.schema.json', import.meta.url), 'utf8'));
const validate = new Ajv.default({ allErrors: true, allowUnionTypes: true }).compile(schema);
const errorsOf = (functions: readonly PciFunction[]) => {
  const document = JSON.parse(JSON.stringify(documentOf(host({ pci: known('config', functions) }), areas)));
  return validate(document) ? [] : validate.errors;
};

describe('the published schema', () => {
  it.for(pciDumps)('describes the functions of %s', (name, context) => {
    expect(errorsOf(decodeLspci(pciDumpOrSkip(context, name), name))).toEqual([]);
  });

  it('describes a function whose registers hold anything, dumped in whole or in part', () => {
    const spaces = fc.sample(fc.tuple(anyFunction, fc.constantFrom(0, 64, 256, 4096)), { numRuns: 50, seed: 4 });
    expect(errorsOf(decodePci(spaces.map(([bytes, length]) => dumped('unknown', bytes.subarray(0, length)))))).toEqual(
      [],
    );
  });
});
