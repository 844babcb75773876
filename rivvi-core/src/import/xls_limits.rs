//! A look at an xls file before it is decoded.
//!
//! The decoder trusts what the file says about itself: a sector chain that runs in a circle, or two cells in far corners,
//! make it ask for more memory than there is, which ends the process. So the chains are walked and the cells are
//! measured here first ([MS-CFB] 2, [MS-XLS] 2.4), with the same reading of the file and without trust.
//!
//! [MS-CFB]: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-cfb/
//! [MS-XLS]: https://learn.microsoft.com/en-us/openspecs/office_file_formats/ms-xls/

/// What the file claims to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It can be decoded within this many cells, counting the empty ones between others.
    Cells(u64),
    /// It contradicts itself or the format.
    Broken,
}

/// Rows and columns that the format can have.
const ROWS: u64 = 65_536;
const COLUMNS: u64 = 256;

/// Measures the worksheets of an xls file.
pub(super) fn measure(file: &[u8]) -> Finding {
    let cells = || {
        let stream = Compound::read(file)?.workbook()?;
        let sheets =
            records(&stream).take_while(|(kind, _)| *kind != EOF).filter(|(kind, _)| *kind == BOUND_SHEET);
        sheets.map(|(_, data)| cells_of(stream.get(u32_at(data, 0)? as usize..)?)).sum::<Option<u64>>()
    };
    cells().map_or(Finding::Broken, Finding::Cells)
}

const FORMULA: u16 = 0x0006;
const EOF: u16 = 0x000A;
const BOUND_SHEET: u16 = 0x0085;
const MULTIPLE_NUMBERS: u16 = 0x00BD;
const RICH_STRING: u16 = 0x00D6;
const SHARED_STRING: u16 = 0x00FD;
const DIMENSIONS: u16 = 0x0200;
const NUMBER: u16 = 0x0203;
const LABEL: u16 = 0x0204;
const BOOL_OR_ERROR: u16 = 0x0205;
const SMALL_NUMBER: u16 = 0x027E;
const BEGIN: u16 = 0x0809;

/// The cells of the rectangle around all cells of one worksheet.
fn cells_of(sheet: &[u8]) -> Option<u64> {
    let (mut rows, mut columns) = (Span::default(), Span::default());
    // Charts inside the worksheet are streams of their own, with records that look like cells.
    let mut depth = 0u32;
    for (kind, data) in records(sheet) {
        match kind {
            BEGIN => depth += 1,
            EOF if depth <= 1 => break,
            EOF => depth -= 1,
            _ if depth > 1 => {}
            DIMENSIONS => check_dimensions(data)?,
            FORMULA | MULTIPLE_NUMBERS | RICH_STRING | SHARED_STRING | NUMBER | LABEL | BOOL_OR_ERROR
            | SMALL_NUMBER => {
                rows.add(u64::from(u16_at(data, 0)?));
                let first = u64::from(u16_at(data, 2)?);
                let last = match kind {
                    MULTIPLE_NUMBERS => u64::from(u16_at(data, data.len().checked_sub(2)?)?),
                    _ => first,
                };
                if first > last || last >= COLUMNS {
                    return None;
                }
                columns.add(first);
                columns.add(last);
            }
            _ => {}
        }
    }
    Some(rows.len() * columns.len())
}

/// Refuses dimensions outside the format; generous ones of an emptier sheet are common and harmless.
fn check_dimensions(data: &[u8]) -> Option<()> {
    let narrow = |at| u16_at(data, at).map(u64::from);
    let (first_row, end_row, end_column) = match data.len() {
        10 => (narrow(0)?, narrow(2)?, narrow(6)?),
        _ => (u64::from(u32_at(data, 0)?), u64::from(u32_at(data, 4)?), narrow(10)?),
    };
    (end_row <= ROWS && end_column <= COLUMNS && (end_row == 0 || first_row < end_row)).then_some(())
}

/// The records of a stream: kind and data, up to the first that is cut off.
fn records(mut stream: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, len) = (u16_at(stream, 0)?, usize::from(u16_at(stream, 2)?));
        let data = stream.get(4..4 + len)?;
        stream = &stream[4 + len..];
        Some((kind, data))
    })
}

/// The first and last of some numbers.
#[derive(Default)]
struct Span(Option<(u64, u64)>);

impl Span {
    fn add(&mut self, at: u64) {
        let (first, last) = self.0.unwrap_or((at, at));
        self.0 = Some((first.min(at), last.max(at)));
    }

    fn len(&self) -> u64 {
        self.0.map_or(0, |(first, last)| last - first + 1)
    }
}

/// The compound file around the workbook.
struct Compound<'a> {
    sectors: Sectors<'a>,
    chains: Vec<u32>,
    directory: Vec<u8>,
    small: Vec<u8>,
    small_chains: Vec<u32>,
}

/// Sector ids from this one on have a special meaning.
const RESERVED: u32 = 0xFFFF_FFFA;
const SMALL_SECTOR: usize = 64;
/// Streams shorter than this are kept in small sectors.
const SMALL_STREAM: usize = 4096;

impl<'a> Compound<'a> {
    fn read(file: &'a [u8]) -> Option<Self> {
        let size = match u16_at(file, 30)? {
            9 => 512,
            12 => 4096,
            _ => return None,
        };
        let sectors = Sectors { bytes: file.get(size..)?, size };
        let mut tables: Vec<u32> = numbers(file.get(76..512)?).collect();
        let mut next = u32_at(file, 68)?;
        let mut left = file.len() / size + 1;
        while next < RESERVED {
            left = left.checked_sub(1)?;
            tables.extend(numbers(sectors.get(next)?));
            next = tables.pop()?;
        }
        let ids = tables.into_iter().filter(|id| *id < RESERVED);
        let chains: Vec<u32> = ids
            .map(|id| sectors.get(id).map(numbers))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        let directory = sectors.chain(u32_at(file, 48)?, &chains)?;
        let (mut small, mut small_chains) = (Vec::new(), Vec::new());
        if u32_at(file, 64)? > 0 {
            small = sectors.chain(u32_at(&directory, 116)?, &chains)?;
            small_chains = numbers(&sectors.chain(u32_at(file, 60)?, &chains)?).collect();
        }
        Some(Self { sectors, chains, directory, small, small_chains })
    }

    fn workbook(&self) -> Option<Vec<u8>> {
        let named = |name: &str| self.directory.chunks_exact(128).find(|entry| is_named(entry, name));
        let entry = named("Workbook").or_else(|| named("Book"))?;
        let (start, len) = (u32_at(entry, 116)?, u32_at(entry, 120)? as usize);
        let mut stream = if len < SMALL_STREAM {
            Sectors { bytes: &self.small, size: SMALL_SECTOR }.chain(start, &self.small_chains)?
        } else {
            self.sectors.chain(start, &self.chains)?
        };
        stream.truncate(len);
        Some(stream)
    }
}

fn is_named(entry: &[u8], name: &str) -> bool {
    let units = entry[..64].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String =
        char::decode_utf16(units.take_while(|unit| *unit != 0)).filter_map(Result::ok).collect();
    text.eq_ignore_ascii_case(name)
}

struct Sectors<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Sectors<'a> {
    /// A sector; the last one of a file may be cut off.
    fn get(&self, id: u32) -> Option<&'a [u8]> {
        let start = (id as usize).checked_mul(self.size)?;
        self.bytes.get(start..(start + self.size).min(self.bytes.len())).filter(|sector| !sector.is_empty())
    }

    /// The sectors from `id` on, one after the other; `None` if the chain leaves the file or runs in a circle.
    fn chain(&self, mut id: u32, chains: &[u32]) -> Option<Vec<u8>> {
        const END: u32 = 0xFFFF_FFFE;
        let mut bytes = Vec::new();
        while id != END {
            if bytes.len() > self.bytes.len() {
                return None;
            }
            bytes.extend_from_slice(self.get(id)?);
            id = *chains.get(id as usize)?;
        }
        Some(bytes)
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?).map(|two| u16::from_le_bytes([two[0], two[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    numbers(bytes.get(at..at.checked_add(4)?)?).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: &[u8] = include_bytes!("../../tests/data/people.xls");

    #[test]
    fn a_real_file_is_measured() {
        // Two cells on the first worksheet; rows 1 to 9 by columns 1 to 8 on the second.
        assert_eq!(measure(PEOPLE), Finding::Cells(2 + 9 * 8));
    }

    #[test]
    fn circles_and_cut_files_are_noticed() {
        assert_eq!(measure(&PEOPLE[..600]), Finding::Broken);
        assert_eq!(measure(b"\xD0\xCF\x11\xE0"), Finding::Broken);
        let mut circle = PEOPLE.to_vec();
        let table = u32_at(PEOPLE, 76).unwrap() as usize;
        let directory = u32_at(PEOPLE, 48).unwrap();
        let entry = 512 + table * 512 + directory as usize * 4;
        circle[entry..entry + 4].copy_from_slice(&directory.to_le_bytes());
        assert_eq!(measure(&circle), Finding::Broken);
    }

    #[test]
    fn dimensions_outside_the_format_are_refused() {
        let wide = |first: u32, end: u32, columns: u16| {
            let mut data = [first.to_le_bytes(), end.to_le_bytes()].concat();
            data.extend([0, 0]);
            data.extend(columns.to_le_bytes());
            data.extend([0, 0]);
            check_dimensions(&data)
        };
        assert!(wide(0, 65_536, 256).is_some() && wide(0, 0, 0).is_some());
        assert!(wide(0, 65_537, 1).is_none() && wide(0, 1, 257).is_none() && wide(5, 5, 1).is_none());
    }
}
