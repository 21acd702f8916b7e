//! The grammar of `Sec-WebSocket-Extensions`, RFC 6455 section 9.1, and of the lists and tokens that it has in common with others.

use std::borrow::Cow;

/// A header field that does not have the form that RFC 6455 gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed header field")]
pub struct Malformed;

/// One extension in a list, with its parameters in their order. What they mean is the extension's own matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The registered name, compared without regard to case.
    pub name: &'a str,
    /// Names, and values where there are any; a quoted value stands here without its quotes.
    pub params: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> Extension<'a> {
    /// All extensions in one header field's value, in order of preference.
    ///
    /// # Errors
    ///
    /// The value breaks the grammar: RFC 6455 section 9.1 wants the connection to fail, even if the rest could be used.
    pub fn parse_list(value: &'a str) -> Result<Vec<Self>, Malformed> {
        let mut extensions = Vec::new();
        let mut left = value;
        loop {
            left = skip_blank(left);
            // RFC 9110 section 5.6.1: empty elements of a list are ignored.
            if !left.is_empty() && !left.starts_with(',') {
                let (extension, rest) = Self::parse(left)?;
                extensions.push(extension);
                left = rest;
            }
            match left.strip_prefix(',') {
                Some(rest) => left = rest,
                None if left.is_empty() => return Ok(extensions),
                None => return Err(Malformed),
            }
        }
    }

    /// One extension, and what is left behind it: nothing, or a comma and more.
    fn parse(text: &'a str) -> Result<(Self, &'a str), Malformed> {
        let (name, mut left) = take_token(text)?;
        let mut params = Vec::new();
        loop {
            left = skip_blank(left);
            let Some(rest) = left.strip_prefix(';') else { return Ok((Self { name, params }, left)) };
            let (param, rest) = take_token(skip_blank(rest))?;
            let rest = skip_blank(rest);
            let (value, rest) = match rest.strip_prefix('=') {
                Some(rest) => {
                    let (value, rest) = take_value(skip_blank(rest))?;
                    (Some(value), rest)
                }
                None => (None, rest),
            };
            params.push((param, value));
            left = rest;
        }
    }
}

/// `token / quoted-string`, of which the latter must be a token without its quotes.
fn take_value(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        return take_token(text).map(|(value, rest)| (value.into(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if is_token(&value) => return Ok((value.into(), &quoted[at + 1..])),
            '"' => return Err(Malformed),
            '\\' => value.push(characters.next().ok_or(Malformed)?.1),
            _ => value.push(character),
        }
    }
    Err(Malformed)
}

fn take_token(text: &str) -> Result<(&str, &str), Malformed> {
    let end = text.find(|character| !is_token_character(character)).unwrap_or(text.len());
    if end == 0 { Err(Malformed) } else { Ok(text.split_at(end)) }
}

fn skip_blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_character)
}

fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_their_parameters_keep_their_order() {
        let list = Extension::parse_list(" foo , , bar; x ;y= 1; z = \"t\\wo\", baz").unwrap();
        let names: Vec<_> = list.iter().map(|extension| extension.name).collect();
        assert_eq!(names, ["foo", "bar", "baz"]);
        assert_eq!(list[1].params, [("x", None), ("y", Some("1".into())), ("z", Some("two".into()))]);
        assert_eq!(Extension::parse_list(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_malformed() {
        for value in [
            "foo bar",
            "foo;",
            "foo; =1",
            "foo; x=",
            "foo; x=\"",
            "foo; x=\"\"",
            "foo; x=\"a b\"",
            "foo; x=\"a\\",
            "foo; x=1 2",
            "foo/1",
            ";x",
            "foo; x=\"1\"2",
            "żółw",
            "foo; x=\"ż\"",
        ] {
            assert_eq!(Extension::parse_list(value), Err(Malformed), "{value}");
        }
    }
}
