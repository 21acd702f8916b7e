//! Unicode host names as requests spell them: RFC 3492 punycode, label by label.
//!
//! Prefixes hold names in Unicode and requests in ASCII, so the prefix is converted once, when it is parsed.
//! Nothing is mapped beyond lower case: an operator who writes a name in an unusual normal form gets that name.

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 0x80;

/// `bücher.example` to `xn--bcher-kva.example`; ASCII names are returned unchanged.
pub(super) fn to_ascii(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for (index, label) in name.split('.').enumerate() {
        if index > 0 {
            out.push('.');
        }
        if label.is_ascii() {
            out.push_str(label);
        } else {
            out.push_str("xn--");
            encode(label, &mut out);
        }
    }
    out
}

/// RFC 3492, section 6.3. A label has at most 255 characters, so nothing here can overflow: the largest delta is
/// about 0x10FFFF * 256.
fn encode(label: &str, out: &mut String) {
    let mut handled = 0u32;
    for character in label.chars().filter(char::is_ascii) {
        out.push(character);
        handled += 1;
    }
    let basic = handled;
    if basic > 0 {
        out.push('-');
    }
    let total = label.chars().count() as u32;
    let (mut n, mut delta, mut bias) = (INITIAL_N, 0u32, INITIAL_BIAS);
    while handled < total {
        let Some(next) = label.chars().map(u32::from).filter(|&code| code >= n).min() else { return };
        delta += (next - n) * (handled + 1);
        n = next;
        for code in label.chars().map(u32::from) {
            if code < n {
                delta += 1;
            } else if code == n {
                push_variable_length(delta, bias, out);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        n += 1;
    }
}

fn push_variable_length(delta: u32, bias: u32, out: &mut String) {
    let (mut rest, mut k) = (delta, BASE);
    loop {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            out.push(digit(rest));
            return;
        }
        out.push(digit(threshold + (rest - threshold) % (BASE - threshold)));
        rest = (rest - threshold) / (BASE - threshold);
        k += BASE;
    }
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

fn digit(value: u32) -> char {
    char::from_digit(if value < 26 { value + 10 } else { value - 26 }, BASE).unwrap_or('a')
}

#[cfg(test)]
mod tests {
    use super::to_ascii;

    #[test]
    fn names_are_spelled_as_browsers_send_them() {
        for (unicode, ascii) in [
            ("example.com", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
            ("☃.net", "xn--n3h.net"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"),
        ] {
            assert_eq!(to_ascii(unicode), ascii);
        }
    }
}
