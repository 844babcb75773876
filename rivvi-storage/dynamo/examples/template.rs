//! Prints the tables as a CloudFormation template.
fn main() {
    println!("{:#}", rivvi_storage_dynamo::cloud_formation());
}
