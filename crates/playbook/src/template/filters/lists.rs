//! Filters on lists as a whole: picking, ordering, folding, rearranging.

use std::cmp::Ordering;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::ir::BinaryOp;
use super::super::value::{self, Key, Value, order};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("first", first),
    filter("last", last),
    filter("length", length),
    filter("count", length),
    filter("list", list),
    filter("sort", sort),
    filter("reverse", reverse),
    filter("join", join),
    filter("min", |interp, args| extreme(interp, args, Ordering::Less)),
    filter("max", |interp, args| extreme(interp, args, Ordering::Greater)),
    filter("sum", sum),
    filter("batch", batch),
    filter("slice", slice),
    filter("flatten", flatten),
    filter("zip", zip),
    filter("zip_longest", zip_longest),
    filter("product", product),
    filter("combinations", combinations),
    filter("permutations", permutations),
    filter("random", random),
    filter("shuffle", shuffle),
    filter("groupby", groupby),
    filter("subelements", subelements),
];

/// More rows than this out of a product or permutation are a mistake.
const MAX_ROWS: usize = 1_000_000;

impl Interp<'_> {
    /// A member by a dotted path such as `stat.size` or `0.name`, as `attribute=` parameters take it.
    ///
    /// # Errors
    /// When a member on the way can not be templated.
    pub(in super::super) fn path(&mut self, value: &Value, path: &Value) -> Result<Value> {
        let Value::Str(text) = path else { return self.item(value, path) };
        let mut found = value.clone();
        for part in text.split('.') {
            found = match part.parse::<i128>() {
                Ok(index) => self.item(&found, &Value::Int(index))?,
                Err(_) => self.item(&found, &Value::str(part))?,
            };
        }
        Ok(found)
    }

    /// Sorts by keys that may refuse to be compared.
    fn sort_by_keys(&mut self, mut keyed: Vec<(Value, Value)>, descending: bool) -> Result<Vec<Value>> {
        let mut refusal = None;
        keyed.sort_by(|(a, _), (b, _)| match order(self, a, b) {
            Ok(ordering) if descending => ordering.reverse(),
            Ok(ordering) => ordering,
            Err(error) => {
                refusal.get_or_insert(error);
                Ordering::Equal
            }
        });
        match refusal {
            Some(error) => Err(error),
            None => Ok(keyed.into_iter().map(|(_, value)| value).collect()),
        }
    }

    /// What an item is compared by: itself or a member of it, letter case folded unless it matters.
    pub(super) fn compare_key(
        &mut self,
        item: &Value,
        attribute: Option<&Value>,
        case_sensitive: bool,
    ) -> Result<Value> {
        let key = match attribute {
            None => item.clone(),
            Some(attribute) => self.path(item, attribute)?,
        };
        key.defined()?;
        Ok(match &key {
            Value::Str(text) if !case_sensitive => Value::str(text.to_lowercase()),
            _ => key,
        })
    }
}

fn first(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let first = interp.items(&input)?.into_iter().next();
    Ok(first.unwrap_or_else(|| Value::missing("an empty list has no first item")))
}

fn last(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let last = interp.items(&input)?.pop();
    Ok(last.unwrap_or_else(|| Value::missing("an empty list has no last item")))
}

fn length(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    match interp.len(&input)? {
        Some(len) => Ok(Value::int(len)),
        None => Err(TemplateError::failed(format!("{} has no length", input.kind_text()))),
    }
}

fn list(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    interp.items(&input).map(Value::list)
}

fn sort(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [descending, case_sensitive, attribute] = args.bind(["reverse", "case_sensitive", "attribute"])?;
    let descending = interp.arg_flag(descending, false)?;
    let case_sensitive = interp.arg_flag(case_sensitive, false)?;
    let attributes: Option<Vec<Value>> = match attribute.filter(|attribute| !attribute.is_none()) {
        Some(Value::Str(names)) => Some(names.split(',').map(|name| Value::str(name.trim())).collect()),
        Some(other) => Some(vec![other]),
        None => None,
    };
    let mut keyed = Vec::new();
    for item in interp.items(&input)? {
        let key = match attributes.as_deref() {
            None => interp.compare_key(&item, None, case_sensitive)?,
            Some([one]) => interp.compare_key(&item, Some(one), case_sensitive)?,
            Some(several) => {
                let keys = several.iter().map(|name| interp.compare_key(&item, Some(name), case_sensitive));
                Value::tuple(keys.collect::<Result<_>>()?)
            }
        };
        keyed.push((key, item));
    }
    interp.sort_by_keys(keyed, descending).map(Value::list)
}

fn reverse(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    if let Value::Str(text) = &input {
        return Ok(Value::str(text.chars().rev().collect::<String>()));
    }
    let mut items = interp.items(&input)?;
    items.reverse();
    Ok(Value::list(items))
}

fn join(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [separator, attribute] = args.bind(["d", "attribute"])?;
    let separator = interp.arg_text_or(separator, "")?;
    let attribute = attribute.filter(|attribute| !attribute.is_none());
    let mut out = String::new();
    for (at, item) in interp.items(&input)?.into_iter().enumerate() {
        let item = match &attribute {
            Some(attribute) => interp.path(&item, attribute)?,
            None => item,
        };
        out.push_str(if at > 0 { &separator } else { "" });
        out.push_str(&interp.text(&item)?);
    }
    Ok(Value::str(out))
}

fn extreme(interp: &mut Interp<'_>, args: Args, wanted: Ordering) -> Result<Value> {
    let (input, args) = args.input();
    let [case_sensitive, attribute] = args.bind(["case_sensitive", "attribute"])?;
    let case_sensitive = interp.arg_flag(case_sensitive, false)?;
    let attribute = attribute.filter(|attribute| !attribute.is_none());
    let mut best: Option<(Value, Value)> = None;
    for item in interp.items(&input)? {
        let key = interp.compare_key(&item, attribute.as_ref(), case_sensitive)?;
        let better = match &best {
            Some((known, _)) => order(interp, &key, known)? == wanted,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::missing("an empty list has neither least nor greatest"), |(_, item)| item))
}

fn sum(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [attribute, start] = args.bind(["attribute", "start"])?;
    let attribute = attribute.filter(|attribute| !attribute.is_none());
    let mut total = start.unwrap_or(Value::Int(0));
    for item in interp.items(&input)? {
        let item = match &attribute {
            Some(attribute) => interp.path(&item, attribute)?,
            None => item,
        };
        total = value::binary(interp, BinaryOp::Add, &total, &item)?;
    }
    Ok(total)
}

fn batch(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [size, fill] = args.bind(["linecount", "fill_with"])?;
    let size = interp.arg_count_or(Some(required(size, "linecount")?), "linecount", 1)?.max(1);
    let fill = fill.filter(|fill| !fill.is_none());
    let rows = interp.items(&input)?;
    let rows = rows.chunks(size).map(|row| {
        let mut row = row.to_vec();
        if let Some(fill) = &fill {
            row.resize(size, fill.clone());
        }
        Value::list(row)
    });
    Ok(Value::list(rows.collect()))
}

fn slice(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [count, fill] = args.bind(["slices", "fill_with"])?;
    let count = interp.arg_count_or(Some(required(count, "slices")?), "slices", 1)?.max(1);
    let fill = fill.filter(|fill| !fill.is_none());
    let items = interp.items(&input)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut columns = Vec::with_capacity(count.min(MAX_ROWS));
    for at in 0..count {
        let mut column: Vec<_> = rest.by_ref().take(each + usize::from(at < longer)).collect();
        if let (Some(fill), true) = (&fill, at >= longer && longer > 0) {
            column.push(fill.clone());
        }
        columns.push(Value::list(column));
    }
    Ok(Value::list(columns))
}

fn flatten(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [levels, skip_nulls] = args.bind(["levels", "skip_nulls"])?;
    let levels = interp.arg_int_or(levels, "levels", i128::MAX)?;
    let skip_nulls = interp.arg_flag(skip_nulls, true)?;
    let mut flat = Vec::new();
    flatten_into(interp, &input, levels, skip_nulls, &mut flat)?;
    Ok(Value::list(flat))
}

fn flatten_into(
    interp: &mut Interp<'_>,
    value: &Value,
    levels: i128,
    skip_nulls: bool,
    flat: &mut Vec<Value>,
) -> Result<()> {
    for item in interp.items(value)? {
        let null = item.is_none() || matches!(item.as_str(), Some("None" | "null"));
        if null && skip_nulls {
            continue;
        }
        if item.is_list() && levels > 0 {
            interp.inside(|interp| flatten_into(interp, &item, levels - 1, skip_nulls, flat))?;
        } else {
            flat.push(item);
        }
    }
    Ok(())
}

fn columns(interp: &mut Interp<'_>, input: &Value, more: &[Value]) -> Result<Vec<Vec<Value>>> {
    std::iter::once(input).chain(more).map(|value| interp.items(value)).collect()
}

fn zip(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let strict = args.take_named("strict");
    let strict = interp.arg_flag(strict, false)?;
    let columns = columns(interp, &input, &args.positional)?;
    let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
    if strict && columns.iter().any(|column| column.len() != rows) {
        return Err(TemplateError::failed("the lists differ in length"));
    }
    let row = |at: usize| Value::tuple(columns.iter().map(|column| column[at].clone()).collect());
    Ok(Value::list((0..rows).map(row).collect()))
}

fn zip_longest(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let fill = args.take_named("fillvalue").unwrap_or(Value::None);
    let columns = columns(interp, &input, &args.positional)?;
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |column: &Vec<Value>, at: usize| column.get(at).unwrap_or(&fill).clone();
    let row = |at: usize| Value::tuple(columns.iter().map(|column| cell(column, at)).collect());
    Ok(Value::list((0..rows).map(row).collect()))
}

fn product(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let repeat = args.take_named("repeat");
    let repeat = interp.arg_count_or(repeat, "repeat", 1)?;
    let once = columns(interp, &input, &args.positional)?;
    let columns: Vec<_> = std::iter::repeat_n(once, repeat).flatten().collect();
    cartesian(&columns).map(|rows| Value::list(rows.into_iter().map(Value::tuple).collect()))
}

/// Every combination of one item from each column, the last column turning fastest.
///
/// # Errors
/// When there would be unreasonably many.
pub(in super::super) fn cartesian(columns: &[Vec<Value>]) -> Result<Vec<Vec<Value>>> {
    let count = columns.iter().try_fold(1usize, |count, column| count.checked_mul(column.len()));
    if count.is_none_or(|count| count > MAX_ROWS) {
        return Err(TemplateError::failed(format!("gives more than {MAX_ROWS} rows")));
    }
    let mut rows = vec![Vec::new()];
    for column in columns {
        rows =
            rows.iter().flat_map(|row| column.iter().map(|item| row.iter().chain([item]).cloned().collect())).collect();
    }
    Ok(rows)
}

fn combinations(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [size] = args.bind(["r"])?;
    let size = interp.arg_count_or(Some(required(size, "r")?), "r", 0)?;
    choose(interp, &input, size, |rows, at| rows.last().is_none_or(|last| *last < at))
}

fn permutations(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [size] = args.bind(["r"])?;
    let length = interp.items(&input)?.len();
    let size = interp.arg_count_or(size, "r", length)?;
    choose(interp, &input, size, |row, at| !row.contains(&at))
}

fn choose(
    interp: &mut Interp<'_>,
    input: &Value,
    size: usize,
    fits: impl Fn(&[usize], usize) -> bool,
) -> Result<Value> {
    let items = interp.items(input)?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    if size > items.len() {
        return Ok(Value::list(Vec::new()));
    }
    for _ in 0..size {
        let mut longer = Vec::new();
        for row in &rows {
            let next = (0..items.len()).filter(|at| fits(row, *at));
            longer.extend(next.map(|at| row.iter().copied().chain([at]).collect::<Vec<_>>()));
            if longer.len() > MAX_ROWS {
                return Err(TemplateError::failed(format!("gives more than {MAX_ROWS} rows")));
            }
        }
        rows = longer;
    }
    let pick = |row: Vec<usize>| Value::tuple(row.into_iter().map(|at| items[at].clone()).collect());
    Ok(Value::list(rows.into_iter().map(pick).collect()))
}

/// A small generator (SplitMix64); its only use is to spread work, never to make secrets.
struct Dice(u64);

impl Dice {
    /// The dice of a call: from the `seed` argument, else from the caller's seed, else none.
    fn new(interp: &mut Interp<'_>, seed: Option<Value>) -> Result<Self> {
        let text = match seed.filter(|seed| !seed.is_none()) {
            Some(seed) => interp.text(&seed)?,
            None => match interp.engine.lookups().seed() {
                Some(seed) => return Ok(Self(seed)),
                None => {
                    return Err(TemplateError::failed("is left to chance, so that no two runs would agree")
                        .hinted("give a seed: `seed=inventory_hostname`"));
                }
            },
        };
        // FNV-1a, so that the same seed text gives the same order for ever.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(Self(hash))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

fn random(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [start, step, seed] = args.bind(["start", "step", "seed"])?;
    let mut dice = Dice::new(interp, seed)?;
    if let Some(end) = input.as_int() {
        let start = interp.arg_int_or(start, "start", 0)?;
        let step = interp.arg_int_or(step, "step", 1)?.max(1);
        let choices = usize::try_from((end - start + step - 1) / step).unwrap_or(0);
        if choices == 0 {
            return Err(TemplateError::failed(format!("no number from {start} lies below {end}")));
        }
        return Ok(Value::Int(start + step * dice.below(choices) as i128));
    }
    let items = interp.items(&input)?;
    let at = dice.below(items.len());
    Ok(items.into_iter().nth(at).unwrap_or_else(|| Value::missing("an empty list has no item to draw")))
}

fn shuffle(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [seed] = args.bind(["seed"])?;
    let mut dice = Dice::new(interp, seed)?;
    let mut items = interp.items(&input)?;
    for at in (1..items.len()).rev() {
        items.swap(at, dice.below(at + 1));
    }
    Ok(Value::list(items))
}

/// One item drawn with the caller's seed.
///
/// # Errors
/// When there is no seed.
pub(in super::super) fn draw(interp: &mut Interp<'_>, mut items: Vec<Value>) -> Result<Option<Value>> {
    let mut dice = Dice::new(interp, None)?;
    let at = dice.below(items.len());
    Ok((at < items.len()).then(|| items.swap_remove(at)))
}

fn groupby(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [attribute, default, case_sensitive] = args.bind(["attribute", "default", "case_sensitive"])?;
    let attribute = required(attribute, "attribute")?;
    let case_sensitive = interp.arg_flag(case_sensitive, false)?;
    let mut keyed = Vec::new();
    for item in interp.items(&input)? {
        let key = match interp.path(&item, &attribute)? {
            Value::Undefined(missing) => default.clone().ok_or_else(|| missing.error())?,
            key => key,
        };
        let compared = interp.compare_key(&key, None, case_sensitive)?;
        keyed.push((compared.clone(), Value::tuple(vec![compared, key, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for row in interp.sort_by_keys(keyed, false)? {
        let mut row = interp.items(&row)?.into_iter();
        let (Some(compared), Some(key), Some(item)) = (row.next(), row.next(), row.next()) else { continue };
        match groups.last_mut() {
            Some((known, _, items)) if value::equal(interp, known, &compared)? => items.push(item),
            _ => groups.push((compared, key, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(_, key, items)| Value::tuple(vec![key, Value::list(items)]));
    Ok(Value::list(groups.collect()))
}

fn subelements(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [path, skip_missing] = args.bind(["subelements", "skip_missing"])?;
    let path = required(path, "subelements")?;
    let skip_missing = interp.arg_flag(skip_missing, false)?;
    pairs_below(interp, &input, &path, skip_missing)
}

/// Each element of a list (or value of a dict) paired with each item of a list inside it.
///
/// # Errors
/// When an element has no such list and that is not to be skipped.
pub(in super::super) fn pairs_below(
    interp: &mut Interp<'_>,
    input: &Value,
    path: &Value,
    skip_missing: bool,
) -> Result<Value> {
    let elements = if input.is_mapping() {
        interp.entries(input)?.into_iter().map(|(_, value)| value).collect()
    } else {
        interp.items(input)?
    };
    let steps = if path.is_list() { interp.items(path)? } else { vec![path.clone()] };
    let mut pairs = Vec::new();
    for element in elements {
        let mut inner = element.clone();
        for step in &steps {
            inner = interp.path(&inner, step)?;
        }
        if inner.is_undefined() && skip_missing {
            continue;
        }
        if !inner.is_list() {
            inner.defined()?;
            let message = format!("wants a list below each element, not {}", inner.kind_text());
            return Err(TemplateError::failed(message));
        }
        for item in interp.items(&inner)? {
            pairs.push(Value::tuple(vec![element.clone(), item]));
        }
    }
    Ok(Value::list(pairs))
}

/// Items as keys, to notice those seen before; items that can not be keys are compared one by one.
#[derive(Default)]
pub(super) struct Seen {
    keys: std::collections::HashSet<Key>,
    others: Vec<Value>,
}

impl Seen {
    /// Whether the value was there before; it is afterwards.
    pub(super) fn insert(&mut self, interp: &mut Interp<'_>, value: &Value) -> Result<bool> {
        if self.contains(interp, value)? {
            return Ok(true);
        }
        match Key::new(value) {
            Ok(key) => {
                self.keys.insert(key);
            }
            Err(_) => self.others.push(value.clone()),
        }
        Ok(false)
    }

    pub(super) fn contains(&self, interp: &mut Interp<'_>, value: &Value) -> Result<bool> {
        value.defined()?;
        if let Ok(key) = Key::new(value) {
            return Ok(self.keys.contains(&key));
        }
        for other in &self.others {
            if value::equal(interp, other, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
