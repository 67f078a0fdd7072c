#!/bin/sh
# Writes crates/config/src/definitions/kafka.tsv anew, from the jars that Apache Kafka publishes on Maven Central, and has
# the same jars judge the cases of crates/config/src/{kafka,zookeeper}/recorded/verdicts.tsv again: version, settings, and
# whether the service starts with them. A new case is a line with any verdict.
#
#   tests/kafka-definitions/renew.sh [FOLDER]
#
# Needs `mvn` and a JDK 17 or later. The jars, some 550 MB for all releases, go to FOLDER (default: target/kafka-definitions) and
# are kept there. A new release is one more word in VERSIONS: the newest bug-fix release of each minor one, oldest first.
set -eu

VERSIONS="2.8.2 3.0.2 3.1.2 3.2.3 3.3.2 3.4.1 3.5.2 3.6.2 3.7.2 3.8.1 3.9.1 4.0.1 4.1.1 4.2.0"

here=$(cd "$(dirname "$0")" && pwd)
table=$here/../../crates/config/src/definitions/kafka.tsv
kafka=$here/../../crates/config/src/kafka/recorded/verdicts.tsv
zookeeper=$here/../../crates/config/src/zookeeper/recorded/verdicts.tsv
work=${1:-$here/../../target/kafka-definitions}
mkdir -p "$work"
work=$(cd "$work" && pwd)

dumps=""
: > "$work/verdicts.tsv"
for version in $VERSIONS; do
    folder=$work/$version
    if [ ! -d "$folder/libs" ]; then
        mkdir -p "$folder"
        cat > "$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kfleet.definitions</groupId>
  <artifactId>kafka-$version</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
        # Into another folder first: an interrupted download never counts.
        (cd "$folder" && mvn -q -B -C -ntp dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=part)
        mv "$folder/part" "$folder/libs"
    fi
    java -cp "$folder/libs/*" "$here/Definitions.java" dump > "$folder/keys.tsv"
    java -cp "$folder/libs/*" "$here/Definitions.java" judge "${version%.*}" "$kafka" >> "$work/verdicts.tsv" 2> "$folder/refusals.txt"
    dumps="$dumps ${version%.*}=$folder/keys.tsv"
done

# Word splitting is meant: one argument for each release.
# shellcheck disable=SC2086
java "$here/Definitions.java" merge $dumps > "$work/kafka.tsv"
mv "$work/kafka.tsv" "$table"
mv "$work/verdicts.tsv" "$kafka"

# The releases of ZooKeeper that Kafka 2.8 and 3.9 bring along.
for pair in 2.8.2=3.5 3.9.1=3.8; do
    java -cp "$work/${pair%=*}/libs/*" "$here/Definitions.java" judge-zookeeper "${pair#*=}" "$zookeeper" 2> "$work/${pair%=*}/zookeeper-refusals.txt"
done > "$work/verdicts.tsv"
mv "$work/verdicts.tsv" "$zookeeper"
wc -l "$table" "$kafka" "$zookeeper"
