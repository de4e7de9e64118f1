/** Settings of virtual functions as people write them: one row for each, with its option, its form and its reading. */
import { UsageError } from '../errors.ts';
import {
  isMac,
  type LinkState,
  linkStates,
  type Setting,
  type SettingName,
  type VlanProtocol,
  vlanProtocols,
} from '../netlink/vf-settings.ts';

interface Row {
  readonly key: SettingName;
  readonly flag: string;
  readonly help: string;
  /** Undefined where the text is no such value. */
  readonly parse: (text: string) => Setting['value'] | undefined;
}

const onOff = (text: string): boolean | undefined => ({ on: true, off: false })[text];

/** IEEE 802.1Q: twelve bits of VLAN, of which the highest is reserved; three of priority. */
const vlanForm = /^(\d{1,4})(?::([0-7]))?(?::(802\.1q|802\.1ad))?$/i;
const lastVlan = 4094;

function vlan(text: string): Setting['value'] | undefined {
  if (text === 'none') return { id: 0, qos: 0, protocol: '802.1q' };
  const [, id, qos = '0', protocol = '802.1q'] = vlanForm.exec(text) ?? [];
  if (id === undefined || Number(id) > lastVlan) return undefined;
  const named = protocol.toLowerCase() as VlanProtocol;
  return named in vlanProtocols ? { id: Number(id), qos: Number(qos), protocol: named } : undefined;
}

function rate(text: string): Setting['value'] | undefined {
  const [, min, max] = /^(\d{1,7})-(\d{1,7})$/.exec(text) ?? [];
  if (min !== undefined && max !== undefined) {
    return Number(max) !== 0 && Number(min) > Number(max) ? undefined : { min: Number(min), max: Number(max) };
  }
  return /^\d{1,7}$/.test(text) ? { min: 0, max: Number(text) } : undefined;
}

export const settingOptions: readonly Row[] = [
  {
    key: 'mac',
    flag: '--mac <address>',
    help: 'its address: 52:54:00:00:00:01',
    parse: (text) => (isMac(text) ? text.toLowerCase() : undefined),
  },
  {
    key: 'vlan',
    flag: '--vlan <id[:qos[:protocol]]>',
    help: 'a VLAN (1-4094), its priority, 802.1q or 802.1ad; none',
    parse: vlan,
  },
  { key: 'rate', flag: '--rate <[min-]max>', help: 'Mbit/s that it may send, 0 for any: 1000, 100-1000', parse: rate },
  { key: 'spoofCheck', flag: '--spoof-check <on|off>', help: 'drop frames with another address', parse: onOff },
  { key: 'trust', flag: '--trust <on|off>', help: 'let its driver do more, as change the address', parse: onOff },
  {
    key: 'linkState',
    flag: '--link-state <state>',
    help: 'auto (as the port), enable, disable',
    parse: (text) => (linkStates.includes(text as LinkState) ? (text as LinkState) : undefined),
  },
  {
    key: 'queryRss',
    flag: '--query-rss <on|off>',
    help: 'let its driver ask for the hash key of receive queues',
    parse: onOff,
  },
];

/** @throws UsageError naming the form that is expected */
export function parseSetting(key: SettingName, text: string): Setting {
  const row = settingOptions.find((each) => each.key === key) as Row;
  const value = row.parse(text);
  if (value === undefined) throw new UsageError(`'${text}' does not fit ${row.flag}`, { hint: row.help });
  return { name: key, value } as Setting;
}
