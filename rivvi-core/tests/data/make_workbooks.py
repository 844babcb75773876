"""Writes the workbooks of this folder: one invented list as xlsx, xls and ods.

    pip install openpyxl xlwt odfpy && python make_workbooks.py

Titles above the headers, an empty column, a blank row, numbers as text and as floats without their leading zero,
dates as dates and as texts, a truth value, an error, and a first worksheet without contacts.
"""
import datetime as dt

import openpyxl
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

TITLES = [["Readme", "nothing to call here"]]
D, ERROR = dt.date, object()
PEOPLE = [
    ["Spring recall"],
    [],
    ["שם מלא", "נייד", None, "תאריך לידה", "יתרה", "פעיל", "Note", "Home phone"],
    ["Dana Levi", "054-234-5678", None, D(1980, 3, 5), 12.5, True, " as is ", None],
    ["Noa Cohen", 542345679, None, D(1999, 12, 31), 1000, False, ERROR, None],
    [],
    ["Avi Ben-David", 542345678.0, None, "25/12/1950", 0, True, "same number as Dana", None],
    ["O'Brien, José", "n/a", None, "03/04/1960", -1, True, None, "03-6123456"],
    ["Nobody", None, None, None, None, None, "no number", None],
]


def xlsx():
    book = openpyxl.Workbook()
    book.active.title = "About"
    for row in TITLES:
        book.active.append(row)
    sheet = book.create_sheet("People")
    for r, row in enumerate(PEOPLE, 1):
        for c, value in enumerate(row, 1):
            if value is ERROR:
                sheet.cell(r, c, "#N/A").data_type = "e"
            elif value is not None:
                cell = sheet.cell(r, c, value)
                if isinstance(value, D):
                    cell.number_format = "dd/mm/yyyy"
    book.save("people.xlsx")


def xls():
    book = xlwt.Workbook(encoding="utf-8")
    about = book.add_sheet("About")
    for c, value in enumerate(TITLES[0]):
        about.write(0, c, value)
    sheet = book.add_sheet("People")
    date = xlwt.easyxf(num_format_str="DD/MM/YYYY")
    for r, row in enumerate(PEOPLE):
        for c, value in enumerate(row):
            if value is ERROR:
                sheet.row(r).set_cell_error(c, 0x2A)
            elif isinstance(value, D):
                sheet.write(r, c, value, date)
            elif value is not None:
                sheet.write(r, c, value)
    book.save("people.xls")


def ods():
    book = OpenDocumentSpreadsheet()
    for name, rows in (("About", TITLES), ("People", PEOPLE)):
        table = Table(name=name)
        for row in rows:
            line = TableRow()
            for value in row:
                if value is None:
                    cell = TableCell()
                elif isinstance(value, bool):
                    cell = TableCell(valuetype="boolean", booleanvalue=str(value).lower())
                elif isinstance(value, (int, float)):
                    cell = TableCell(valuetype="float", value=str(value))
                elif isinstance(value, D):
                    cell = TableCell(valuetype="date", datevalue=value.isoformat())
                else:
                    text = "#N/A" if value is ERROR else value
                    cell = TableCell(valuetype="string", stringvalue=text)
                    cell.addElement(P(text=text))
                line.addElement(cell)
            table.addElement(line)
        book.spreadsheet.addElement(table)
    book.save("people.ods")


xlsx()
xls()
ods()
