/** A VMCS for a processor: fields and controls by name, and the checks that a VM entry will make on them. */

import { fieldShape, type VmcsFieldName, vmcsFieldNames } from '../x86/vmcs-fields.ts';
import type { ControlIn } from '../x86/vmx-controls.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import { type Check, type Fields, judge, type Problem, type Verdict, type VmxProcessor } from './check.ts';
import { allowed, controlChecks, controlWords } from './control-checks.ts';
import { guestChecks } from './guest-checks.ts';
import { hostChecks } from './host-checks.ts';
import { defaultFields } from './states.ts';

/** Controls by name, each on or off; a name that is left out keeps its setting. */
export interface ControlChanges {
  readonly pinBased?: { readonly [Name in ControlIn<'pin'>]?: boolean };
  readonly primary?: { readonly [Name in ControlIn<'primary'>]?: boolean };
  /** Turns `activateSecondaryControls` on with the first control that is. */
  readonly secondary?: { readonly [Name in ControlIn<'secondary'>]?: boolean };
  readonly exit?: { readonly [Name in ControlIn<'exit'>]?: boolean };
  readonly entry?: { readonly [Name in ControlIn<'entry'>]?: boolean };
}

export type FieldChanges = { readonly [Name in VmcsFieldName]?: bigint };

export type VmcsChanges = ControlChanges & FieldChanges;

const registerOf = {
  pinBased: 'pin',
  primary: 'primary',
  secondary: 'secondary',
  exit: 'exit',
  entry: 'entry',
} as const satisfies Record<keyof ControlChanges, keyof typeof controlWords>;

const isControls = (name: string): name is keyof ControlChanges => Object.hasOwn(registerOf, name);
const isField = (name: string): name is VmcsFieldName => (vmcsFieldNames as readonly string[]).includes(name);

export class Vmcs {
  readonly processor: VmxProcessor;
  readonly #fields = new Map<string, bigint>(vmcsFieldNames.map((name) => [name, 0n]));

  /**
   * A VMCS with the controls that the processor demands, a host of 64 bits where it has that, and a guest in protected
   * mode without segments.
   * @param processor `machine.vmxCapabilities`, or the capability MSRs of a host that was probed
   * @throws RangeError if the MSRs of controls are missing
   */
  constructor(processor: VmxProcessor) {
    this.processor = processor;
    this.set(defaultFields);
    for (const register of ['pin', 'primary', 'exit', 'entry'] as const) {
      this.#fields.set(controlWords[register], this.#allowed(register)[0]);
    }
    const wide = (this.#allowed('exit')[1] >> 9n) & 1n;
    if (wide === 1n) this.set({ exit: { hostAddressSpaceSize: true } });
  }

  /** Every field by name; those that an exit fills are as the last one left them. */
  get fields(): ReadonlyMap<string, bigint> {
    return this.#fields;
  }

  get(name: VmcsFieldName): bigint {
    const value = this.#fields.get(name);
    if (value === undefined) throw new RangeError(`no field of the VMCS has the name ${name}`);
    return value;
  }

  /** Whether a control is on. */
  has<R extends keyof ControlChanges>(word: R, name: keyof NonNullable<ControlChanges[R]> & string): boolean {
    const bit = bitOf(word, name);
    return ((this.get(controlWords[registerOf[word]]) >> bit) & 1n) === 1n;
  }

  /**
   * Changes fields and controls. Nothing is checked but names and widths: check() and VM entry do the rest.
   * @throws RangeError for a name that does not exist, or a value that is wider than its field; nothing is changed then
   */
  set(changes: VmcsChanges): this {
    const next = new Map<string, bigint>();
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) continue;
      if (isControls(name)) {
        const field = controlWords[registerOf[name]];
        const settings = Object.entries(value as Record<string, boolean>);
        let word = next.get(field) ?? this.get(field);
        for (const [control, on] of settings) {
          const bit = 1n << bitOf(name, control);
          word = on ? word | bit : word & ~bit;
        }
        next.set(field, word);
        if (name === 'secondary' && settings.some(([, on]) => on)) {
          const primary = next.get('primaryControls') ?? this.get('primaryControls');
          next.set('primaryControls', primary | (1n << bitOf('primary', 'activateSecondaryControls')));
        }
      } else if (isField(name)) {
        const { bits } = fieldShape(name);
        const wanted = BigInt(value as bigint);
        if (wanted >> BigInt(bits) !== 0n)
          throw new RangeError(`${name} has ${bits} bits: 0x${wanted.toString(16)} is wider`);
        next.set(name, wanted);
      } else {
        throw new RangeError(`no field of the VMCS has the name ${name}`);
      }
    }
    for (const [name, value] of next) this.#fields.set(name, value);
    return this;
  }

  /** Every check of VM entry that is broken, in the order of the manual: controls, host state, guest state. */
  check(): readonly Problem[] {
    return checkEntry(this.#fields, this.processor).problems;
  }

  #allowed(register: keyof typeof controlWords): [bigint, bigint] {
    return allowed((index) => {
      const value = this.processor.msrs?.get(index);
      if (value === undefined) {
        throw new RangeError(`the processor has no VMX capability MSR ${index.toString(16).toUpperCase()}H`);
      }
      return value;
    }, register);
  }
}

/** All checks, in the order in which a processor makes them. */
export const entryChecks: readonly Check[] = [...controlChecks, ...hostChecks, ...guestChecks];

/** The checks of VM entry on fields as far as they are known, of a dump for one. */
export function checkEntry(fields: Fields, processor: VmxProcessor = {}): Verdict {
  return judge(entryChecks, fields, processor);
}

export const controlWordOf = (word: keyof ControlChanges) => controlWords[registerOf[word]];

export function bitOf(word: keyof ControlChanges, name: string): bigint {
  const bit = vmxControls.find(({ register }) => register === registerOf[word])?.bits[name];
  if (bit === undefined) throw new RangeError(`no control of ${word} has the name ${name}`);
  return BigInt(bit);
}
