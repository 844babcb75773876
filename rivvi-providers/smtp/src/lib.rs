//! E-mail for Rivvi by SMTP.
