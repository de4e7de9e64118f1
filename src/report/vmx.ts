/** The VMX matrix: every control with what the processor lets it be. */
import type { ProbeDocument } from '../probe/document.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import type { ControlSetting } from '../x86/vmx-msrs.ts';
import { controlTexts, fieldTexts } from '../x86/vmx-texts.ts';
import { type Html, html, table } from './html.ts';
import { mark } from './marks.ts';

const settings: Readonly<Record<ControlSetting, Html>> = {
  no: mark('no', 'must be 0'),
  yes: mark('yes', 'may be 1'),
  forced: mark('yes', 'must be 1'),
  default: mark('yes', 'is 1 by default'),
};

export function vmx({ vmx: capabilities }: ProbeDocument): Html | null {
  if (capabilities.controls.length === 0) return null;
  const { controls, fields, unknownBits, msrs } = capabilities;
  const registers = vmxControls.filter(({ register }) => controls.some((row) => row.register === register));
  return html`${registers.map(({ register, msr, section }) => {
    const rows = controls.filter((row) => row.register === register);
    const may = rows.filter(({ setting }) => setting !== 'no').length;
    return html`<details><summary>${register} controls: ${may} of ${rows.length} may be 1</summary>${table(
      `${register} controls, MSR 0x${msr.toString(16)} (SDM Vol. 3D, ${section})`,
      ['control', 'bit', 'setting', 'what it does'],
      rows.map(({ name, bit, setting }) => [
        html`<code>${name}</code>`,
        bit,
        settings[setting],
        controlTexts[register][name],
      ]),
    )}</details>\n`;
  })}
<details><summary>Capability fields</summary>${table(
    'Fields of the capability MSRs',
    ['field', 'bits', 'value', 'what it says'],
    fields.map(({ register, name, lowBit, highBit, value }) => [
      html`<code>${register}.${name}</code>`,
      lowBit === highBit ? lowBit : `${highBit}:${lowBit}`,
      html`<code>${value}</code>`,
      fieldTexts[register]?.[name],
    ]),
  )}</details>
<details><summary>Raw registers</summary>${table(
    'VMX capability MSRs',
    ['MSR', 'value'],
    Object.entries(msrs).map(([index, value]) => [html`<code>${index}</code>`, html`<code>${value}</code>`]),
  )}</details>
${unknownBits.length === 0 ? null : html`<p>Set bits that no table names: ${unknownBits.map(({ register, bit }) => `${register} ${bit}`).join(', ')}.</p>`}`;
}
